//! Refusals by Redis's access control list, as sentences that name user and command.

use redis::{RedisError, ServerError};

use super::scripts;

/// Code of a command that its sender may not run.
const NO_PERMISSION_CODE: &str = "NOPERM";
/// What Redis says of a command that a script calls: from 7.2 on and in Valkey, and in 7.0.
const SCRIPT_DENIALS: [&str; 2] = ["ACL failure in script: ", "The user executing the script can't "];
/// The part of a refusal that names the command.
const COMMAND_PREFIX: &str = "run the '";
/// The same in a script on 7.0, which does not name it.
const UNNAMED_COMMAND: &str = "can't run this command";

/// A sentence for the operator if an error is a refusal by the access control list.
pub(super) fn denial_message(error: &RedisError, user: &str) -> Option<String> {
    let detail = acl_denial(error)?;
    let denial = match (denied_command(&detail), detail.contains("access")) {
        (Some(command), _) => format!("may not run the command {}", command.to_lowercase()),
        (None, true) => "may not access a key or channel of the store".to_owned(),
        (None, false) => format!("is refused ({detail})"),
    };
    Some(format!(
        "the Redis user {user} {denial}: its access control list must allow all that deploy/redis/gatepost.acl allows"
    ))
}

/// What Redis says, if it is such a refusal.
fn acl_denial(error: &RedisError) -> Option<String> {
    let denial_of = |error: &ServerError| {
        let detail = error.details().unwrap_or_default();
        let is_denial = error.code() == NO_PERMISSION_CODE || SCRIPT_DENIALS.iter().any(|text| detail.contains(text));
        is_denial.then(|| detail.to_owned())
    };
    let errors = error.clone().into_server_errors()?;
    errors.iter().find_map(|(_, error)| denial_of(error))
}

/// The command that a refusal is about.
fn denied_command(detail: &str) -> Option<&str> {
    if let Some((_, rest)) = detail.split_once(COMMAND_PREFIX) {
        return rest.split_once('\'').map(|(command, _)| command);
    }
    // "… can't run this command or subcommand script: HASH, on @user_script:LINE."
    let (_, location) = detail.split_once(UNNAMED_COMMAND)?.1.split_once("script: ")?;
    let (hash, location) = location.split_once(',')?;
    let line = location.split_once("@user_script:")?.1.trim_end_matches('.');
    scripts::command_at_line(hash, line.parse().ok()?)
}

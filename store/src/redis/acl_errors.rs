//! Logins and commands that Redis denies, as messages that name the user, and the command or the setting.

use redis::{ErrorKind, RedisError, ServerError};

use super::scripts;

/// Error code for a command that the user may not run.
const NO_PERMISSION_CODE: &str = "NOPERM";
/// Redis's messages for a command called by a script: of Redis 7.2 and later and Valkey, and of Redis 7.0.
const SCRIPT_DENIALS: [&str; 2] = ["ACL failure in script: ", "The user executing the script can't "];
/// Text before the command's name in a denial.
const COMMAND_PREFIX: &str = "run the '";
/// The same for a script on Redis 7.0, which does not name the command.
const UNNAMED_COMMAND: &str = "can't run this command";

/// The command that a copy of a store needs besides those in `deploy/redis/gatepost.acl`.
const COPY_COMMAND: &str = "scan";

/// Returns a message for the operator if the error is a denial by the access control list.
pub(super) fn denial_message(error: &RedisError, user: &str) -> Option<String> {
    let detail = acl_denial(error)?;
    let command = denied_command(&detail).map(str::to_lowercase);
    if command.as_deref() == Some(COPY_COMMAND) {
        return Some(format!(
            "the Redis user {user} may not run the command {COPY_COMMAND}: its access control list must allow it during a \
             copy, besides everything in deploy/redis/gatepost.acl"
        ));
    }
    let denial = match (command, detail.contains("access")) {
        (Some(command), _) => format!("may not run the command {command}"),
        (None, true) => "may not access a key or channel of the store".to_owned(),
        (None, false) => format!("was denied ({detail})"),
    };
    Some(format!(
        "the Redis user {user} {denial}: its access control list must allow everything in deploy/redis/gatepost.acl"
    ))
}

/// Returns a message for the operator if the server wants another login.
pub(super) fn login_message(error: &RedisError) -> Option<String> {
    let is_wrong = error.kind() == ErrorKind::AuthenticationFailed || error.code() == Some("WRONGPASS");
    let denial = match error.code() {
        Some("NOAUTH") => "requires a login",
        _ if is_wrong => "does not accept the user and password",
        _ => return None,
    };
    Some(format!(
        "the server {denial}: store.url has the user, and store.url or store.password_file the password (for sentinels \
         store.sentinel_user and store.sentinel_password_file)"
    ))
}

/// Returns the text of the denial, if the error is one.
fn acl_denial(error: &RedisError) -> Option<String> {
    let denial_of = |error: &ServerError| {
        let detail = error.details().unwrap_or_default();
        let is_denial = error.code() == NO_PERMISSION_CODE || SCRIPT_DENIALS.iter().any(|text| detail.contains(text));
        is_denial.then(|| detail.to_owned())
    };
    let errors = error.clone().into_server_errors()?;
    errors.iter().find_map(|(_, error)| denial_of(error))
}

/// Returns the denied command.
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

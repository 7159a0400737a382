//! The Lua scripts. The header of each script describes its purpose, arguments and reply.

use std::sync::LazyLock;

use redis::Script;

use super::script_text::assemble;

/// Start of a command call in a script.
const COMMAND_CALL: &str = "redis.call(";

/// Defines the scripts. `flags` follows `#!lua` in the first line of the script; see [`assemble`] for the files.
macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $flags:literal, [$($file:literal),+];)*) => {
        $($(#[$doc])*
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| Script::new(&text::$name));)*

        /// The texts of the scripts.
        mod text {
            use super::{LazyLock, assemble};

            $(pub(super) static $name: LazyLock<String> = LazyLock::new(|| {
                assemble($flags, &[$(include_str!(concat!("lua/", $file, ".lua"))),+])
            });)*
        }

        /// All scripts with their texts.
        static ALL: &[(&LazyLock<Script>, &LazyLock<String>)] = &[$((&$name, &text::$name)),*];
    };
}

/// Returns the command that a script calls at a line, if both are known. Redis 7.0 identifies a denied command only by
/// hash and line.
pub(super) fn command_at_line(hash: &str, line: usize) -> Option<&'static str> {
    let (_, text) = ALL.iter().find(|(script, _)| script.get_hash() == hash)?;
    // Redis may report a call that spans several lines at any of them.
    let calls = text.lines().take(line).filter_map(|line| Some(line.split_once(COMMAND_CALL)?.1));
    // The name is unknown if it is a variable.
    calls.last()?.strip_prefix('\'')?.split_once('\'').map(|(command, _)| command)
}

scripts! {
    CREATE = "", ["create"];
    RAISE_FORMAT = " flags=allow-oom", ["common", "invalidations", "raise_format"];
    SWAP_ENVELOPE = "", ["common", "swap_envelope"];
    CONFIRM = " flags=allow-oom", ["confirm"];
    COMMIT = "", ["common", "invalidations", "append", "stored_responses", "account_counts", "commit"];
    /// Like `COMMIT`, for revocations: also runs when memory is full.
    COMMIT_URGENT = " flags=allow-oom", ["common", "invalidations", "append", "stored_responses", "account_counts", "commit"];
    COUNTING = " flags=allow-oom", ["common", "account_counts", "set_counting"];
    COUNT_PAGE = " flags=allow-oom", ["common", "account_counts", "count_page"];
    ACCOUNT_USAGE = " flags=no-writes", ["common", "account_counts", "account_usage"];
    RECORDS = " flags=no-writes", ["common", "records"];
    STORED_RESPONSE = " flags=no-writes", ["common", "stored_responses", "stored_response"];
    SWAP_STORED_RESPONSE = "", ["common", "stored_responses", "swap_stored_response"];
    LIST = " flags=no-writes", ["common", "list"];
    COUNT_LISTED = " flags=no-writes", ["common", "count_listed"];
    LOOKUP = " flags=no-writes", ["common", "lookup"];
    CLAIM_FIRST_USE = " flags=allow-oom", ["common", "invalidations", "append", "claim_first_use"];
    FEED = " flags=no-writes", ["common", "cursor", "invalidations", "feed"];
    FEED_BACKWARDS = " flags=no-writes", ["common", "cursor", "feed_backwards"];
    HEARTBEAT = " flags=allow-oom", ["common", "cursor", "invalidations", "heartbeat"];
    CHECK_INVALIDATIONS = " flags=no-writes", ["common", "invalidations", "check_invalidations"];
    CHECK_CURSOR = " flags=no-writes", ["common", "cursor", "check_cursor"];
    SIGN_OFF = " flags=allow-oom", ["common", "sign_off"];
    GATEWAYS = " flags=allow-oom", ["common", "gateway_leases", "gateways"];
    CHECK_WRITABLE = " flags=allow-oom", ["common", "check_writable"];
    POSITION = " flags=no-writes", ["common", "position"];
    RETURN_ALLOWANCE = " flags=allow-oom", ["return_allowance"];
    LEASE_ALLOWANCE = " flags=allow-oom", ["lease_allowance"];
    COPY_HOURLY_USAGE = "", ["copy_hourly_usage"];
    MARK_COPY = "", ["mark_copy"];
    FINISH_COPY = "", ["finish_copy"];
    ADD_USAGE = " flags=allow-oom", ["add_usage"];
    KEY_USES = " flags=no-writes", ["key_uses"];
    USAGE_PAGE = " flags=no-writes", ["usage_page"];
    ROLL_UP_USAGE = " flags=allow-oom", ["roll_up_usage"];
    ADD_HOURLY_USAGE = " flags=allow-oom", ["add_hourly_usage"];
    HOURLY_USAGE = " flags=no-writes", ["hourly_usage"];
    REMOVE_LAST_USES = " flags=allow-oom", ["remove_last_uses"];
    HOURLY_KEY_USAGE = " flags=no-writes", ["hourly_key_usage"];
    FAN_OUT = " flags=allow-oom", ["common", "queue", "fan_out"];
    DUE_WEBHOOKS = " flags=no-writes", ["common", "due_webhooks"];
    LEASE_DELIVERIES = " flags=allow-oom", ["common", "queue", "lease_deliveries"];
    EXTEND_LEASE = " flags=allow-oom", ["common", "queue", "extend_lease"];
    SETTLE = " flags=allow-oom", ["common", "queue", "failures", "settle"];
    HOLD_QUEUE = " flags=allow-oom", ["common", "queue", "failures", "hold_queue"];
    END_HOLD = " flags=allow-oom", ["common", "queue", "end_hold"];
    RESET_FAILURES = " flags=allow-oom", ["common", "queue", "reset_failures"];
    QUEUE_TO_DEAD_LETTERS = " flags=allow-oom", ["common", "queue", "queue_to_dead_letters"];
    DELIVERIES = " flags=allow-oom", ["common", "queue", "delivery_rows", "deliveries"];
    DELIVERY = " flags=allow-oom", ["common", "queue", "delivery_rows", "delivery"];
    WEBHOOK_NUMBERS = " flags=no-writes", ["common", "webhook_numbers"];
    SEND_NOW = " flags=allow-oom", ["common", "queue", "send_now"];
    SEND_AGAIN = " flags=allow-oom", ["common", "queue", "send_again_parts", "send_again"];
    ATTEMPTS = " flags=no-writes", ["common", "attempts"];
    DEAD_LETTERS = " flags=no-writes", ["common", "queue", "dead_letters"];
    DEAD_LETTER = " flags=no-writes", ["common", "queue", "dead_letter"];
    RESEND = " flags=allow-oom", ["common", "queue", "send_again_parts", "resend"];
    CREATE_RECOVERY = "", ["common", "recovery", "create_recovery"];
    RECOVERIES = " flags=no-writes", ["common", "recovery", "recoveries"];
    RUNNING_RECOVERIES = " flags=no-writes", ["common", "recovery", "running_recoveries"];
    /// Does not run when memory is full: it can wait, and copies events.
    RUN_RECOVERY_STEP = "", ["common", "queue", "send_again_parts", "recovery", "run_recovery_step"];
    CANCEL_RECOVERY = " flags=allow-oom", ["common", "recovery", "cancel_recovery"];
    DROP_QUEUE = " flags=allow-oom", ["common", "queue", "recovery", "drop_queue"];
    QUARANTINE = " flags=no-writes", ["common", "quarantine"];
    QUEUE_NUMBERS = " flags=no-writes", ["common", "queue_numbers"];
    TRIM = " flags=allow-oom", ["common", "gateway_leases", "queue", "recovery", "trim"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_at_line_is_the_last_call_up_to_it() {
        let hash = CONFIRM.get_hash();
        let commands = [1, 4, 5, 6].map(|line| command_at_line(hash, line));
        assert_eq!(commands, [None, None, Some("SET"), Some("SET")]);
        assert_eq!(command_at_line("another", 5), None);
        let (script, text) = ALL.iter().find(|(_, text)| text.contains("redis.call(command")).unwrap();
        let line = text.lines().position(|line| line.contains("redis.call(command")).unwrap();
        assert_eq!(command_at_line(script.get_hash(), line + 1), None, "the command is a variable");
        assert!(command_at_line(script.get_hash(), line).is_some());
    }
}

//! The scripts. What a script is for, and its arguments and answers, stands at its head.

use std::sync::LazyLock;

use redis::Script;

/// What calls a command in a script.
const COMMAND_CALL: &str = "redis.call(";

/// `flags` is what follows `#!lua` in the script's first line; files are joined in order.
macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $flags:literal, [$($file:literal),+];)*) => {
        $($(#[$doc])*
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!("#!lua", $flags, "\n", $(include_str!(concat!("lua/", $file, ".lua"))),+))
        });)*

        /// All scripts with their text.
        static ALL: &[(&LazyLock<Script>, &str)] = &[
            $((&$name, concat!("#!lua", $flags, "\n", $(include_str!(concat!("lua/", $file, ".lua"))),+))),*
        ];
    };
}

/// The command that a script calls at a line, where both are known. Redis 7.0 reports a refused command only so.
pub(super) fn command_at_line(hash: &str, line: usize) -> Option<&'static str> {
    let (_, text) = ALL.iter().find(|(script, _)| script.get_hash() == hash)?;
    // A call that is written over several lines may be reported at any of them.
    let calls = text.lines().take(line).filter_map(|line| Some(line.split_once(COMMAND_CALL)?.1));
    // One whose command is a variable is not known.
    calls.last()?.strip_prefix('\'')?.split_once('\'').map(|(command, _)| command)
}

scripts! {
    CREATE = "", ["create"];
    RAISE_FORMAT = " flags=allow-oom", ["common", "raise_format"];
    CONFIRM = " flags=allow-oom", ["confirm"];
    COMMIT = "", ["common", "append", "receipts", "counts", "commit"];
    /// The same for what shuts something off: it goes on when memory is full.
    COMMIT_URGENT = " flags=allow-oom", ["common", "append", "receipts", "counts", "commit"];
    COUNTING = " flags=allow-oom", ["common", "counts", "counting"];
    COUNT_PAGE = " flags=allow-oom", ["common", "counts", "count_page"];
    RECORDS = " flags=no-writes", ["common", "records"];
    STORED_RESPONSE = " flags=no-writes", ["common", "receipts", "receipt"];
    SWAP_STORED_RESPONSE = "", ["common", "receipts", "swap_receipt"];
    LIST = " flags=no-writes", ["common", "list"];
    LOOKUP = " flags=no-writes", ["common", "lookup"];
    CLAIM_FIRST_USE = " flags=allow-oom", ["common", "append", "claim_first_use"];
    FEED = " flags=no-writes", ["common", "cursor", "feed"];
    HEARTBEAT = " flags=allow-oom", ["common", "cursor", "heartbeat"];
    CHECK_CURSOR = " flags=no-writes", ["common", "cursor", "judge_cursor"];
    SIGN_OFF = " flags=allow-oom", ["common", "sign_off"];
    GATEWAYS = " flags=allow-oom", ["common", "gateways"];
    CHECK_WRITABLE = " flags=allow-oom", ["common", "probe_writing"];
    POSITION = " flags=no-writes", ["common", "position"];
    RETURN_ALLOWANCE = " flags=allow-oom", ["return_allowance"];
    LEASE_ALLOWANCE = " flags=allow-oom", ["lease_allowance"];
    ADD_USAGE = " flags=allow-oom", ["add_usage"];
    USAGE = " flags=no-writes", ["usage"];
    FAN_OUT = " flags=allow-oom", ["common", "queue", "fan_out"];
    DUE_WEBHOOKS = " flags=no-writes", ["common", "due_webhooks"];
    LEASE_DELIVERIES = " flags=allow-oom", ["common", "queue", "lease_deliveries"];
    EXTEND_LEASE = " flags=allow-oom", ["common", "queue", "extend_lease"];
    SETTLE = " flags=allow-oom", ["common", "queue", "settle"];
    ATTEMPTS = " flags=no-writes", ["common", "attempts"];
    DEAD_LETTERS = " flags=no-writes", ["common", "dead_letters"];
    RESEND = " flags=allow-oom", ["common", "queue", "resend"];
    DROP_QUEUE = " flags=allow-oom", ["common", "queue", "drop_queue"];
    QUARANTINE = " flags=no-writes", ["common", "quarantine"];
    QUEUE_NUMBERS = " flags=no-writes", ["common", "queue_numbers"];
    TRIM = " flags=allow-oom", ["common", "queue", "trim"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_of_a_line_is_the_last_call_up_to_it() {
        let hash = CONFIRM.get_hash();
        let commands = [1, 4, 5, 6].map(|line| command_at_line(hash, line));
        assert_eq!(commands, [None, None, Some("SET"), Some("SET")]);
        assert_eq!(command_at_line("another", 5), None);
        let (script, text) = ALL.iter().find(|(_, text)| text.contains("redis.call(command")).unwrap();
        let line = text.lines().position(|line| line.contains("redis.call(command")).unwrap();
        assert_eq!(command_at_line(script.get_hash(), line + 1), None, "another call stands before it");
        assert!(command_at_line(script.get_hash(), line).is_some());
    }
}

//! All tables of the embedded store and their stored types.

use redb::TableDefinition;

/// Calls a macro with the names of all tables.
macro_rules! all {
    ($call:ident) => {
        $call!(
            META,
            RECORDS,
            FIRST_USE,
            DIGESTS,
            INDEX,
            STREAM,
            SEALED,
            SEALED_AGES,
            STORED_RESPONSES,
            STORED_RESPONSE_EXPIRY,
            EVENTS,
            DELIVERIES,
            DELIVERY_ORDER,
            DELIVERY_SEQUENCE,
            REMOVED,
            QUEUE,
            LEASED,
            PENDING_COUNTS,
            CAPPED,
            HELD,
            FAILURES,
            ATTEMPTS,
            LAST_ATTEMPTS,
            DELIVERY_LOG,
            DELIVERY_LOG_ORDER,
            DELIVERY_LOG_COUNTS,
            LOG_CHECKS,
            HOURS,
            RECOVERIES,
            RUNNING_RECOVERIES,
            DEAD_LETTERS,
            DEAD_COUNTS,
            DEAD_BY_TIME,
            DEAD_AGES,
            DEAD_SEALED,
            QUARANTINE,
            WINDOWS,
            WINDOW_LIMITS,
            USAGE,
            LAST_USED,
            KEY_USAGE,
            PAST_USAGE,
            COUNTS,
            COUNTING_PROGRESS
        )
    };
}
pub(super) use all;

/// Single values: `id`, `envelope` (in the first format; later formats use `store_id` and `sealed_envelope`, and have
/// decoys in `id` and `envelope`), `format`, `min_reader`, `last`, `trimmed`, `fan_out`, `entries`, `fanned`, `made`,
/// `dead_dropped`, `heartbeat`, `loose_checksum`, `counted`. Numbers are 8 bytes, big-endian.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Record name → record (see `record_format`).
pub(super) const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
/// Key id → time of first use in ms.
pub(super) const FIRST_USE: TableDefinition<'_, &str, u64> = TableDefinition::new("first_use");
/// Digest → record name.
pub(super) const DIGESTS: TableDefinition<'_, &[u8; 32], &str> = TableDefinition::new("digests");
/// (Index, member).
pub(super) const INDEX: TableDefinition<'_, (&str, &str), ()> = TableDefinition::new("index");
/// Position → entry (see `entries`).
pub(super) const STREAM: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("stream");
/// Event id → (time in ms, sealed secret).
pub(super) const SEALED: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("sealed");
/// (Time in ms, event) of every sealed secret, for trimming.
pub(super) const SEALED_AGES: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("sealed_ages");
/// Response name → (expiry time in ms, sealed response).
pub(super) const STORED_RESPONSES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("receipts");
/// (Expiry time in ms, response name), for trimming.
pub(super) const STORED_RESPONSE_EXPIRY: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("receipt_ages");
/// Event id → (unfinished deliveries, body).
pub(super) const EVENTS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("events");
/// Value of [`DELIVERIES`].
type DeliveryState<'a> = (u32, &'a str, u64, u64, u64);
/// Value of [`DEAD_LETTERS`].
pub(super) type DeadLetterState<'a> = (u64, u32, &'a str, &'a [u8], Option<&'a [u8]>);

/// (Webhook, event) → (attempts made, lease token or empty, lease end in ms, creation time in ms, due time in ms).
pub(super) const DELIVERIES: TableDefinition<'_, (&str, &str), DeliveryState<'static>> =
    TableDefinition::new("deliveries");
/// (Webhook, sequence, event): deliveries in the order of their creation.
pub(super) const DELIVERY_ORDER: TableDefinition<'_, (&str, u64, &str), ()> = TableDefinition::new("made");
/// (Webhook, event) → sequence.
pub(super) const DELIVERY_SEQUENCE: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("made_as");
/// Name of a recently removed record → (event, position) of its removal.
pub(super) const REMOVED: TableDefinition<'_, &str, (&str, u64)> = TableDefinition::new("removed");
/// (Webhook, due time in ms, event). A leased delivery is due at the end of its lease.
pub(super) const QUEUE: TableDefinition<'_, (&str, u64, &str), ()> = TableDefinition::new("queue");
/// (Webhook, lease end in ms, event).
pub(super) const LEASED: TableDefinition<'_, (&str, u64, &str), ()> = TableDefinition::new("leased");
/// Webhook → number of its deliveries.
pub(super) const PENDING_COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("pending");
/// Webhook → time in ms until which it is at its in-flight cap.
pub(super) const CAPPED: TableDefinition<'_, &str, u64> = TableDefinition::new("capped");
/// Webhook → time in ms until which nothing is sent to it.
pub(super) const HELD: TableDefinition<'_, &str, u64> = TableDefinition::new("held");
/// Webhook → failures in a row since the last 2xx, and the times in ms of the first one, of the refusal that was counted
/// last (or 0), and of the first hold by the receiver (or 0).
pub(super) const FAILURES: TableDefinition<'_, &str, (u64, u64, u64, u64)> = TableDefinition::new("failures");
/// (Webhook, number) → attempt as one line of JSON.
pub(super) const ATTEMPTS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("attempts");
/// (Webhook, event) of a delivery that waits → its last attempt, one line of JSON.
pub(super) const LAST_ATTEMPTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("last_attempts");
/// Value of [`DELIVERY_LOG`].
type LogEntry<'a> = (&'a str, i64, u64, &'a [u8]);
/// (Webhook, event) of a delivery that ended → (kind, sequence, end in ms, summary: one line of JSON or empty).
pub(super) const DELIVERY_LOG: TableDefinition<'_, (&str, &str), LogEntry<'static>> =
    TableDefinition::new("delivery_log");
/// (Webhook, kind, sequence, event) of every entry in [`DELIVERY_LOG`]. Dead letters of early versions have negative
/// sequences.
pub(super) const DELIVERY_LOG_ORDER: TableDefinition<'_, (&str, &str, i64, &str), ()> =
    TableDefinition::new("delivery_log_order");
/// (Webhook, kind) → number of entries in [`DELIVERY_LOG`].
pub(super) const DELIVERY_LOG_COUNTS: TableDefinition<'_, (&str, &str), u64> =
    TableDefinition::new("delivery_log_counts");
/// Webhook → time in ms from which its log and attempts may have expired parts.
pub(super) const LOG_CHECKS: TableDefinition<'_, &str, u64> = TableDefinition::new("log_checks");
/// (Webhook, hours since the epoch) → attempts that delivered, and that failed.
pub(super) const HOURS: TableDefinition<'_, (&str, u64), (u64, u64)> = TableDefinition::new("hours");
/// Value of [`RECOVERIES`].
pub(super) type RecoveryState<'a> = (&'a str, u64, u64, i64, u64, u64, &'a [u8]);
/// (Webhook, recovery) → (status, creation time in ms, end in ms or 0, cursor or the minimum, recovered, skipped, request:
/// one line of JSON).
pub(super) const RECOVERIES: TableDefinition<'_, (&str, &str), RecoveryState<'static>> =
    TableDefinition::new("recoveries");
/// Webhook → its recovery that runs.
pub(super) const RUNNING_RECOVERIES: TableDefinition<'_, &str, &str> = TableDefinition::new("running_recoveries");
/// (Webhook, event) → (time of death in ms, attempts made, reason, body, sealed secret).
pub(super) const DEAD_LETTERS: TableDefinition<'_, (&str, &str), DeadLetterState<'static>> =
    TableDefinition::new("dead");
/// Webhook → number of its dead letters.
pub(super) const DEAD_COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("dead_counts");
/// (Webhook, time of death in ms, event).
pub(super) const DEAD_BY_TIME: TableDefinition<'_, (&str, u64, &str), ()> = TableDefinition::new("dead_by_time");
/// (Time of death in ms, webhook, event), for trimming.
pub(super) const DEAD_AGES: TableDefinition<'_, (u64, &str, &str), ()> = TableDefinition::new("dead_ages");
/// (Time of death in ms, webhook, event) of dead letters that still have their secret.
pub(super) const DEAD_SEALED: TableDefinition<'_, (u64, &str, &str), ()> = TableDefinition::new("dead_sealed");
/// Position → (bytes, reason).
pub(super) const QUARANTINE: TableDefinition<'_, u64, (&[u8], &str)> = TableDefinition::new("quarantine");
/// Window name → (end of the window in ms, leased requests).
pub(super) const WINDOWS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("windows");
/// Window name → (generation of the limit, limit, length in ms or 0).
pub(super) const WINDOW_LIMITS: TableDefinition<'_, &str, (u32, u64, u64)> = TableDefinition::new("window_limits");
/// In the first format: (hours since the epoch, project, key) → uses.
pub(super) const USAGE: TableDefinition<'_, (u64, &str, &str), u64> = TableDefinition::new("usage_by_hour");
/// In the first format: key → time of its last use in ms.
pub(super) const LAST_USED: TableDefinition<'_, &str, u64> = TableDefinition::new("last_used");
/// Key of [`KEY_USAGE`] and [`PAST_USAGE`]: project, group of partitions, key or empty for all keys of the group.
pub(super) type UsageKey = (&'static str, u8, &'static str);
/// (Project, group, key) → uses since the last roll-up (see `usage::recent`).
pub(super) const KEY_USAGE: TableDefinition<'_, UsageKey, &[u8]> = TableDefinition::new("key_usage");
/// (Project, group, key) → uses that were rolled up (see `usage::past`).
pub(super) const PAST_USAGE: TableDefinition<'_, UsageKey, &[u8]> = TableDefinition::new("past_usage");
/// (Account, resource) → count, or bytes of records.
pub(super) const COUNTS: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("counts");
/// Index → member through which it is counted.
pub(super) const COUNTING_PROGRESS: TableDefinition<'_, &str, &str> = TableDefinition::new("counting");

//! The embedded store's tables and stored shapes, all of them.

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
            ATTEMPTS,
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
            COUNTS,
            COUNTING_PROGRESS
        )
    };
}
pub(super) use all;

/// Single values: `id`, `envelope` (in the first format; later ones have `store_id` and `sealed_envelope`, and decoys in
/// these), `format`, `min_reader`, `last`, `trimmed`, `fan_out`, `entries`, `fanned`, `made`, `dead_dropped`,
/// `heartbeat`, `loose_checksum`, `counted`. Numbers are 8 bytes, big end first.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Record name → record (see `packed`).
pub(super) const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
/// Key id → moment of first use in ms.
pub(super) const FIRST_USE: TableDefinition<'_, &str, u64> = TableDefinition::new("first_use");
/// Digest → record name.
pub(super) const DIGESTS: TableDefinition<'_, &[u8; 32], &str> = TableDefinition::new("digests");
/// (Index, member).
pub(super) const INDEX: TableDefinition<'_, (&str, &str), ()> = TableDefinition::new("index");
/// Position → entry (see `entries`).
pub(super) const STREAM: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("stream");
/// Event id → (moment in ms, sealed secret).
pub(super) const SEALED: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("sealed");
/// (Moment, event) of every sealed secret, for trimming.
pub(super) const SEALED_AGES: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("sealed_ages");
/// Receipt → (moment until which it counts in ms, sealed answer).
pub(super) const STORED_RESPONSES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("receipts");
/// (Moment until which it counts, receipt), for trimming.
pub(super) const STORED_RESPONSE_EXPIRY: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("receipt_ages");
/// Event id → (deliveries that have not ended, body).
pub(super) const EVENTS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("events");
/// A delivery's state.
type DeliveryState<'a> = (u32, &'a str, u64, u64, u64);
/// A dead letter.
type DeadLetterState<'a> = (u64, u32, &'a str, &'a [u8], Option<&'a [u8]>);

/// (Webhook, event) → (attempts made, lease token or empty, lease end in ms, moment of creation in ms,
/// moment from which it is available in ms).
pub(super) const DELIVERIES: TableDefinition<'_, (&str, &str), DeliveryState<'static>> =
    TableDefinition::new("deliveries");
/// (Webhook, number, event): deliveries in the order in which they were made.
pub(super) const DELIVERY_ORDER: TableDefinition<'_, (&str, u64, &str), ()> = TableDefinition::new("made");
/// (Webhook, event) → number.
pub(super) const DELIVERY_SEQUENCE: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("made_as");
/// Name of a record that was removed lately → (event, position) of its removal.
pub(super) const REMOVED: TableDefinition<'_, &str, (&str, u64)> = TableDefinition::new("removed");
/// (Webhook, moment from which it is available, event). A leased delivery is available at the end of
/// its lease.
pub(super) const QUEUE: TableDefinition<'_, (&str, u64, &str), ()> = TableDefinition::new("queue");
/// (Webhook, lease end, event).
pub(super) const LEASED: TableDefinition<'_, (&str, u64, &str), ()> = TableDefinition::new("leased");
/// Webhook → its deliveries.
pub(super) const PENDING_COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("pending");
/// Webhook → moment until which it is at its in-flight cap.
pub(super) const CAPPED: TableDefinition<'_, &str, u64> = TableDefinition::new("capped");
/// (Webhook, number) → attempt as one line of JSON.
pub(super) const ATTEMPTS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("attempts");
/// (Webhook, event) → (moment of death in ms, attempts made, reason, body, sealed secret).
pub(super) const DEAD_LETTERS: TableDefinition<'_, (&str, &str), DeadLetterState<'static>> =
    TableDefinition::new("dead");
/// Webhook → its dead letters.
pub(super) const DEAD_COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("dead_counts");
/// (Webhook, moment of death, event).
pub(super) const DEAD_BY_TIME: TableDefinition<'_, (&str, u64, &str), ()> = TableDefinition::new("dead_by_time");
/// (Moment of death, webhook, event), for trimming.
pub(super) const DEAD_AGES: TableDefinition<'_, (u64, &str, &str), ()> = TableDefinition::new("dead_ages");
/// (Moment of death, webhook, event) of dead letters that still have their secret.
pub(super) const DEAD_SEALED: TableDefinition<'_, (u64, &str, &str), ()> = TableDefinition::new("dead_sealed");
/// Position → (bytes, reason).
pub(super) const QUARANTINE: TableDefinition<'_, u64, (&[u8], &str)> = TableDefinition::new("quarantine");
/// Meter → (end of window in ms, leased in it).
pub(super) const WINDOWS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("windows");
/// Meter → (generation of the limit, limit, length in ms or 0) of its window.
pub(super) const WINDOW_LIMITS: TableDefinition<'_, &str, (u32, u64, u64)> = TableDefinition::new("window_limits");
/// (Hour since the epoch, project, key) → uses.
pub(super) const USAGE: TableDefinition<'_, (u64, &str, &str), u64> = TableDefinition::new("usage_by_hour");
/// Key → moment of its last use in ms.
pub(super) const LAST_USED: TableDefinition<'_, &str, u64> = TableDefinition::new("last_used");
/// (Account, kind) → how many it has, or bytes of its records.
pub(super) const COUNTS: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("counts");
/// Index → member through which it was counted.
pub(super) const COUNTING_PROGRESS: TableDefinition<'_, &str, &str> = TableDefinition::new("counting");

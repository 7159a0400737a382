//! The commands that write an entry of the queues of another store, and what is derived from it. Each can be repeated.

use super::pending::Writes;
use super::queue_values::{format_dead_letter, format_delivery, format_quarantined, format_recovery};
use crate::copied_entry::{CopiedDeadLetter, CopiedDelivery, CopiedEntry, CopiedLogEntry};
use crate::ops::{DeliveryKind, RecoveryStatus};
use crate::redis::Redis;

/// Attempts that one command writes.
const ATTEMPTS_PER_COMMAND: usize = 100;

/// Adds an entry of the queues; does nothing for another one.
pub(super) fn add(writes: &mut Writes, redis: &Redis, entry: CopiedEntry) {
    match entry {
        CopiedEntry::EventBody { event, deliveries_left, body } => {
            writes.record(redis, "HSET", ("events", ""), (&event, body));
            writes.record(redis, "HSET", ("events-left", ""), (event, deliveries_left));
        }
        CopiedEntry::Delivery(delivery) => add_delivery(writes, redis, &delivery),
        CopiedEntry::Hold { webhook, until_ms } => {
            writes.record(redis, "HSET", ("capped", ""), (format!("{webhook} hold"), until_ms));
        }
        CopiedEntry::Failures { webhook, failures, first_ms, refused_ms, held_ms } => {
            let key = ("failures:", webhook.as_str());
            writes.record(redis, "HSET", key, ("failures", failures, "first", first_ms));
            for (field, ms) in [("refused", refused_ms), ("held", held_ms)].into_iter().filter(|(_, ms)| *ms > 0) {
                writes.record(redis, "HSET", key, (field, ms));
            }
        }
        CopiedEntry::Attempts { webhook, newest_first } => {
            let key = ("attempts:", webhook.as_str());
            writes.remove_record(redis, key);
            for lines in newest_first.chunks(ATTEMPTS_PER_COMMAND) {
                writes.record(redis, "RPUSH", key, lines);
            }
        }
        CopiedEntry::LogEntry(entry) => add_log_entry(writes, redis, &entry),
        CopiedEntry::LogCheck { webhook, at_ms } => writes.record(redis, "ZADD", ("log-checks", ""), (at_ms, webhook)),
        CopiedEntry::Hour { webhook, hour, delivered, failed } => {
            for (outcome, count) in [("delivered", delivered), ("failed", failed)] {
                if count > 0 {
                    writes.record(redis, "HSET", ("hours:", &webhook), (format!("{hour} {outcome}"), count));
                }
            }
        }
        CopiedEntry::Recovery { webhook, recovery } => {
            let state = format_recovery(&recovery);
            writes.record(redis, "HSET", ("recoveries:", &webhook), (recovery.id.as_str(), state));
            if recovery.status == RecoveryStatus::Running {
                writes.record(redis, "ZADD", ("recovering", ""), (0, format!("{webhook} {}", recovery.id)));
            }
        }
        CopiedEntry::DeadLetter(letter) => add_dead_letter(writes, redis, &letter),
        CopiedEntry::Quarantined { version, bytes, reason } => {
            writes.quarantined.push((version.as_u64(), format_quarantined(version, &bytes, &reason)));
        }
        CopiedEntry::Number { .. }
        | CopiedEntry::Record { .. }
        | CopiedEntry::FirstUse { .. }
        | CopiedEntry::Digest { .. }
        | CopiedEntry::IndexMember { .. }
        | CopiedEntry::Change(_)
        | CopiedEntry::SealedSecret { .. }
        | CopiedEntry::StoredResponse { .. }
        | CopiedEntry::Removal { .. }
        | CopiedEntry::Window(_)
        | CopiedEntry::Usage { .. }
        | CopiedEntry::KeyUsage(_)
        | CopiedEntry::LastUse { .. }
        | CopiedEntry::AccountCount { .. }
        | CopiedEntry::CountingProgress { .. } => {}
    }
}

/// Holds are not considered: the first lease of a held webhook updates from when it is ready.
fn add_delivery(writes: &mut Writes, redis: &Redis, delivery: &CopiedDelivery) {
    let (webhook, event) = (delivery.webhook.as_str(), delivery.event.as_str());
    writes.record(redis, "HSET", ("delivery:", webhook), (event, format_delivery(delivery)));
    writes.record(redis, "ZADD", ("queue:", webhook), (delivery.available_ms, event));
    writes.record(redis, "ZADD", ("ready", ""), ("LT", delivery.available_ms, webhook));
    if !delivery.token.is_empty() {
        writes.record(redis, "ZADD", ("held:", webhook), (delivery.lease_end_ms, event));
        writes.record(redis, "ZADD", ("leasing", ""), ("GT", delivery.lease_end_ms, webhook));
    }
    if let Some(sequence) = delivery.sequence {
        writes.record(redis, "ZADD", ("made:", webhook), (sequence, event));
    }
    if let Some(line) = &delivery.last_attempt {
        writes.record(redis, "HSET", ("last-attempts:", webhook), (event, line));
    }
}

fn add_log_entry(writes: &mut Writes, redis: &Redis, entry: &CopiedLogEntry) {
    let list = if entry.kind == DeliveryKind::Dropped { "dropped:" } else { "delivered:" };
    writes.record(redis, "ZADD", (list, &entry.webhook), (entry.sequence, &entry.event));
    let line = [format!("{}\n", entry.ended_ms).as_bytes(), &entry.summary].concat();
    writes.record(redis, "HSET", ("log:", &entry.webhook), (&entry.event, line));
}

fn add_dead_letter(writes: &mut Writes, redis: &Redis, letter: &CopiedDeadLetter) {
    let (webhook, event, died_ms) = (letter.webhook.as_str(), letter.event.as_str(), letter.died_ms);
    writes.record(redis, "HSET", ("dead:", webhook), (event, format_dead_letter(letter)));
    writes.record(redis, "ZADD", ("dead-times:", webhook), (died_ms, event));
    writes.record(redis, "ZADD", ("dead-made:", webhook), (letter.sequence, event));
    let member = format!("{webhook} {event}");
    writes.record(redis, "ZADD", ("dead-ages", ""), (died_ms, &member));
    if !letter.summary.is_empty() {
        let line = [format!("{died_ms}\n").as_bytes(), &letter.summary].concat();
        writes.record(redis, "HSET", ("log:", webhook), (event, line));
    }
    if let Some(sealed) = &letter.sealed {
        writes.record(redis, "HSET", ("dead-sealed:", webhook), (event, sealed));
        writes.record(redis, "ZADD", ("dead-sealed-ages", ""), (died_ms, member));
    }
}

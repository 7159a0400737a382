//! The commands that write an entry of another store. Each can be repeated.

use redis::cmd;

use super::pending::Writes;
use super::queue_commands;
use super::reads::format_store_number;
use crate::copied_entry::{CopiedEntry, CopiedKeyUsage, CopiedWindow};
use crate::ops::KeyGroup;
use crate::record_format::format_version;
use crate::redis::Redis;

/// How long the key of a stored response outlives it, as in `stored_responses.lua`.
const RESPONSE_MARGIN_MS: u64 = 60_000;

/// How long the key of a window outlives it. Ended windows are ignored, so this only frees memory.
const WINDOW_MARGIN_MS: u64 = 24 * 3_600_000;

/// Adds the writes of an entry.
pub(super) fn add(writes: &mut Writes, redis: &Redis, entry: CopiedEntry) {
    match entry {
        CopiedEntry::Number { number, value } => {
            let fields = (number.redis_field(), format_store_number(number, value));
            writes.record(redis, "HSET", ("meta", ""), fields);
        }
        CopiedEntry::Record { name, bytes } => writes.record(redis, "SET", ("record:", &name), bytes),
        CopiedEntry::FirstUse { key, ms } => writes.record(redis, "SET", ("first-use:", &key), ms),
        CopiedEntry::Digest { digest, record } => {
            writes.records.cmd("SET").arg(redis.record_key("digest:", &digest)).arg(record);
        }
        CopiedEntry::IndexMember { index, member } => writes.record(redis, "ZADD", ("index:", &index), (0, member)),
        CopiedEntry::Change(change) => writes.changes.push(change),
        CopiedEntry::SealedSecret { event, ms, sealed } => {
            writes.record(redis, "HSET", ("sealed", ""), (&event, sealed));
            writes.record(redis, "ZADD", ("sealed-ages", ""), (ms, event));
        }
        CopiedEntry::StoredResponse { name, expires_ms, sealed } => {
            let value = [format!("{expires_ms}\n").as_bytes(), &sealed].concat();
            writes.record(redis, "SET", ("receipt:", &name), (value, "PXAT", expires_ms + RESPONSE_MARGIN_MS));
        }
        CopiedEntry::Removal { record, event, version } => {
            let expires_ms = CopiedEntry::Removal { record: String::new(), event: String::new(), version }.expires_ms();
            let value = format!("{event}\n{}", format_version(version));
            writes.record(redis, "SET", ("removed:", &record), (value, "PXAT", expires_ms.unwrap_or(0)));
        }
        CopiedEntry::Window(window) => add_window(writes, redis, window),
        CopiedEntry::Usage { hour, project, key, count } => {
            writes.usage.entry((project, hour)).or_default().push((key, count));
        }
        CopiedEntry::KeyUsage(CopiedKeyUsage { project, group, part, key, uses }) => {
            let mut command = cmd("HSET");
            command.arg(redis.uses_key(&KeyGroup { project, group }, part)).arg(key).arg(uses);
            writes.meters.push(vec![command]);
        }
        CopiedEntry::LastUse { project, key, ms } => {
            let mut command = cmd("HSET");
            command.arg(redis.tagged_key("last-used", &project)).arg(key).arg(ms);
            writes.meters.push(vec![command]);
        }
        CopiedEntry::AccountCount { account, resource, count } => {
            writes.record(redis, "HSET", ("counts:", &account), (resource, count));
        }
        CopiedEntry::CountingProgress { index, member } => {
            writes.record(redis, "HSET", ("counting", ""), (index, member));
        }
        entry @ (CopiedEntry::EventBody { .. }
        | CopiedEntry::Delivery(_)
        | CopiedEntry::Hold { .. }
        | CopiedEntry::Failures { .. }
        | CopiedEntry::Attempts { .. }
        | CopiedEntry::LogEntry(_)
        | CopiedEntry::LogCheck { .. }
        | CopiedEntry::Hour { .. }
        | CopiedEntry::Recovery { .. }
        | CopiedEntry::DeadLetter(_)
        | CopiedEntry::Quarantined { .. }) => queue_commands::add(writes, redis, entry),
    }
}

fn add_window(writes: &mut Writes, redis: &Redis, window: CopiedWindow) {
    let key = redis.tagged_key("window", &window.name);
    let length = if window.length_ms == 0 { String::new() } else { window.length_ms.to_string() };
    let mut set = cmd("HSET");
    set.arg(&key).arg("ends-at").arg(window.ends_at_ms).arg("leased").arg(window.leased);
    set.arg("generation").arg(window.generation).arg("limit").arg(window.limit).arg("length").arg(length);
    let mut expire = cmd("PEXPIREAT");
    expire.arg(key).arg(window.ends_at_ms + WINDOW_MARGIN_MS);
    writes.meters.push(vec![set, expire]);
}

//! Writes of a batch of entries that are not sent yet.

use std::collections::BTreeMap;

use redis::{Cmd, Pipeline, ToRedisArgs};

use crate::copied_entry::CopiedChange;
use crate::redis::Redis;

/// Writes of a batch of entries.
#[derive(Default)]
pub(super) struct Writes {
    /// Commands on keys with the hash tag of the store.
    pub(super) records: Pipeline,
    /// Commands on keys with other hash tags, those of one key in their order.
    pub(super) meters: Vec<Vec<Cmd>>,
    /// Uses by project and hour: key and count.
    pub(super) usage: BTreeMap<(String, u64), Vec<(String, u64)>>,
    /// Stream entries, oldest first.
    pub(super) changes: Vec<CopiedChange>,
    /// Items of the quarantine, oldest first, with their positions.
    pub(super) quarantined: Vec<(u64, Vec<u8>)>,
}

impl Writes {
    /// Adds a command on a key with the hash tag of the store.
    pub(super) fn record(
        &mut self,
        redis: &Redis,
        command: &str,
        (kind, name): (&str, &str),
        arguments: impl ToRedisArgs,
    ) {
        self.records.cmd(command).arg(redis.record_key(kind, name.as_bytes())).arg(arguments);
    }

    /// Adds the removal of a key with the hash tag of the store.
    pub(super) fn remove_record(&mut self, redis: &Redis, (kind, name): (&str, &str)) {
        self.records.cmd("DEL").arg(redis.record_key(kind, name.as_bytes()));
    }
}

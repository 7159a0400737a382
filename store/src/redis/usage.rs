//! Usage on Redis, from format 2 on. Like rate limits, each group of a project's keys has its own hash tag.

use gatepost_domain::partition::PartitionGroup;
use redis::Value;

use crate::error::{Result, StoreErrorKind};
use crate::ops::{KeyGroup, PackedUses, PackedUsesPage, PackedUsesSwap};
use crate::options::COMMIT_TIMEOUT;

use super::client::Redis;
use super::scripts;

/// Suffix of the key with the uses of a group of keys.
const KEY_USAGE: &str = "key-usage";
/// Maximum number of keys whose uses one script adds: while a script runs, Redis serves nobody else. These take 0.2 ms.
pub(super) const MAX_KEYS_PER_SCRIPT: usize = 100;
/// The cursor of the first page, and of the end.
const START: &str = "0";

impl Redis {
    pub(crate) async fn add_usage(&self, group: KeyGroup, usage: Vec<(String, u64)>) -> Result<()> {
        for part in usage.chunks(MAX_KEYS_PER_SCRIPT) {
            let mut invocation = scripts::ADD_USAGE.prepare_invoke();
            invocation.key(self.usage_key(&group)).arg(self.inner.skew.ms());
            for (key, count) in part {
                invocation.arg(key).arg(*count);
            }
            self.inner.connections.run_rate_limit_script(&invocation, COMMIT_TIMEOUT).await?;
        }
        Ok(())
    }

    pub(crate) async fn packed_usage(&self, group: KeyGroup, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.usage_key(&group)).arg(&keys);
        convert(self.inner.connections.run_rate_limit_command(&command, COMMIT_TIMEOUT).await?)
    }

    pub(crate) async fn packed_usage_page(
        &self,
        group: KeyGroup,
        from: Option<String>,
        used_since_ms: u64,
        limit: u32,
    ) -> Result<PackedUsesPage> {
        let mut invocation = scripts::USAGE_PAGE.prepare_invoke();
        invocation.key(self.usage_key(&group)).arg(from.as_deref().unwrap_or(START)).arg(limit).arg(used_since_ms);
        let reply: Vec<Vec<u8>> =
            convert(self.inner.connections.run_rate_limit_script(&invocation, COMMIT_TIMEOUT).await?)?;
        let Some((next, rows)) = reply.split_first() else {
            return Err(StoreErrorKind::Corrupt.with("a page of usage has no cursor"));
        };
        let uses = |[key, packed]: &[Vec<u8>; 2]| Ok(PackedUses { key: text(key)?, packed: packed.clone() });
        let next = text(next)?;
        Ok(PackedUsesPage {
            uses: rows.as_chunks().0.iter().map(uses).collect::<Result<_>>()?,
            next: (next != START).then_some(next),
        })
    }

    pub(crate) async fn swap_packed_usage(&self, group: KeyGroup, swaps: Vec<PackedUsesSwap>) -> Result<()> {
        for part in swaps.chunks(MAX_KEYS_PER_SCRIPT) {
            let mut invocation = scripts::SWAP_USAGE.prepare_invoke();
            invocation.key(self.usage_key(&group));
            for swap in part {
                invocation.arg(&swap.key).arg(&swap.read).arg(swap.new.as_deref().unwrap_or_default());
            }
            self.inner.connections.run_rate_limit_script(&invocation, COMMIT_TIMEOUT).await?;
        }
        Ok(())
    }

    /// Returns the key with the uses of a group.
    pub(super) fn usage_key(&self, group: &KeyGroup) -> String {
        self.tagged_key(KEY_USAGE, &usage_tag(group))
    }
}

/// Returns the name in the hash tag of a group.
pub(crate) fn usage_tag(group: &KeyGroup) -> String {
    format!("{}:{}", group.project, group.group.number())
}

/// Parses the output of [`usage_tag`].
pub(super) fn parse_usage_tag(tag: &str) -> Result<KeyGroup> {
    let parsed = tag.split_once(':').and_then(|(project, number)| {
        Some(KeyGroup { project: project.to_owned(), group: PartitionGroup::new(number.parse().ok()?)? })
    });
    parsed.ok_or_else(|| StoreErrorKind::Corrupt.with(format!("{tag} names no group of keys")))
}

fn convert<T: redis::FromRedisValue>(reply: Value) -> Result<T> {
    redis::from_redis_value(reply).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

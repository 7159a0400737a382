//! Usage on Redis, from format 2 on. Like rate limits, each group of a project's keys has its own hash tag.

use gatepost_domain::partition::PartitionGroup;
use gatepost_domain::time::Timestamp;
use redis::{ScriptInvocation, Value};

use crate::error::{Result, StoreErrorKind};
use crate::ops::{KeyGroup, RolledUpUses, StoredUses, UsesPage, UsesPart};
use crate::options::{COMMIT_TIMEOUT, MAX_KEYS_TOGETHER};

use super::client::Redis;
use super::hourly_usage::{SCAN_START, parse_number};
use super::scripts;

impl UsesPart {
    /// Returns the suffix of the key with this part of the uses of a group.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            UsesPart::Recent => "key-usage",
            UsesPart::Past => "past-usage",
        }
    }
}

impl Redis {
    pub(crate) async fn add_usage(&self, group: KeyGroup, usage: Vec<(String, u64)>) -> Result<()> {
        let all_keys = |part: &[(String, u64)]| (String::new(), part.iter().map(|(_, count)| count).sum());
        for part in usage.chunks(MAX_KEYS_TOGETHER) {
            let mut invocation = scripts::ADD_USAGE.prepare_invoke();
            invocation.key(self.uses_key(&group, UsesPart::Recent)).arg(self.inner.skew.ms());
            for (key, count) in [all_keys(part)].iter().chain(part) {
                invocation.arg(key).arg(*count);
            }
            self.run_usage_script(&invocation).await?;
        }
        Ok(())
    }

    pub(crate) async fn key_uses(&self, group: KeyGroup, keys: Vec<String>) -> Result<Vec<StoredUses>> {
        let mut found = Vec::with_capacity(keys.len());
        for part in keys.chunks(MAX_KEYS_TOGETHER) {
            let mut invocation = scripts::KEY_USES.prepare_invoke();
            self.add_uses_keys(&mut invocation, &group);
            let reply: Vec<Vec<u8>> = convert(self.run_usage_script(invocation.arg(part)).await?)?;
            let uses = |[recent, past]: &[Vec<u8>; 2]| StoredUses { recent: recent.clone(), past: past.clone() };
            found.extend(reply.as_chunks().0.iter().map(uses));
        }
        Ok(found)
    }

    pub(crate) async fn uses_page(
        &self,
        group: KeyGroup,
        from: Option<String>,
        since_hour: u64,
        limit: usize,
    ) -> Result<UsesPage> {
        let mut invocation = scripts::USAGE_PAGE.prepare_invoke();
        self.add_uses_keys(&mut invocation, &group);
        invocation.arg(self.inner.skew.ms()).arg(from.as_deref().unwrap_or(SCAN_START)).arg(limit).arg(since_hour);
        let reply: Vec<Vec<u8>> = convert(self.run_usage_script(&invocation).await?)?;
        let [read_at_ms, next, rows @ ..] = reply.as_slice() else {
            return Err(StoreErrorKind::Corrupt.with("a page of usage has no cursor"));
        };
        let (read_at_ms, next) = (parse_number(&text(read_at_ms)?)?, text(next)?);
        let uses = |[key, recent, past]: &[Vec<u8>; 3]| {
            Ok((text(key)?, StoredUses { recent: recent.clone(), past: past.clone() }))
        };
        Ok(UsesPage {
            uses: rows.as_chunks().0.iter().map(uses).collect::<Result<_>>()?,
            next: (next != SCAN_START).then_some(next),
            read_at: Timestamp::from_ms(read_at_ms),
        })
    }

    pub(crate) async fn roll_up(&self, group: KeyGroup, uses: Vec<RolledUpUses>) -> Result<()> {
        for part in uses.chunks(MAX_KEYS_TOGETHER) {
            let mut invocation = scripts::ROLL_UP_USAGE.prepare_invoke();
            self.add_uses_keys(&mut invocation, &group);
            for RolledUpUses { key, read, new } in part {
                invocation.arg(key).arg(read).arg(&new.recent).arg(&new.past);
            }
            self.run_usage_script(&invocation).await?;
        }
        Ok(())
    }

    /// Returns the key with a part of the uses of a group.
    pub(super) fn uses_key(&self, group: &KeyGroup, part: UsesPart) -> String {
        self.tagged_key(part.suffix(), &usage_tag(group))
    }

    fn add_uses_keys(&self, invocation: &mut ScriptInvocation<'_>, group: &KeyGroup) {
        invocation.key(self.uses_key(group, UsesPart::Recent)).key(self.uses_key(group, UsesPart::Past));
    }

    async fn run_usage_script(&self, invocation: &ScriptInvocation<'_>) -> Result<Value> {
        self.inner.connections.run_rate_limit_script(invocation, COMMIT_TIMEOUT).await
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

//! Usage in the first format, by the hour, on Redis. Like rate limits, each project has its own hash tag.

use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::HOUR_MS;

use crate::error::{Result, StoreErrorKind};
use crate::ops::{LastUsesPage, RawLastUse, RawUsage, UsageGrouping};
use crate::options::{COMMIT_TIMEOUT, HOURLY_RETENTION_HOURS, MAX_KEYS_TOGETHER};

use super::client::Redis;
use super::scripts;

/// The cursor of the first page of a scan, and of the end.
pub(super) const SCAN_START: &str = "0";
/// Suffix of the key that lists a project's hours; the scripts derive other keys from it.
const USAGE_HOURS: &str = "usage-hours";

impl Redis {
    pub(crate) async fn add_hourly_usage(&self, project: String, usage: Vec<(String, u64)>) -> Result<()> {
        for part in usage.chunks(MAX_KEYS_TOGETHER) {
            let mut invocation = scripts::ADD_HOURLY_USAGE.prepare_invoke();
            invocation.key(self.tagged_key(USAGE_HOURS, &project));
            invocation.arg(self.inner.skew.ms()).arg(HOURLY_RETENTION_HOURS);
            for (key, count) in part {
                invocation.arg(key).arg(*count);
            }
            self.inner.connections.run_rate_limit_script(&invocation, COMMIT_TIMEOUT).await?;
        }
        Ok(())
    }

    pub(crate) async fn hourly_usage(
        &self,
        project: String,
        grouping: UsageGrouping,
        from: u64,
        to: u64,
    ) -> Result<Vec<RawUsage>> {
        let mut invocation = scripts::HOURLY_USAGE.prepare_invoke();
        invocation.key(self.tagged_key(USAGE_HOURS, &project)).arg(from).arg(to);
        invocation.arg(match grouping {
            UsageGrouping::Project => "project",
            UsageGrouping::Keys => "keys",
        });
        let reply = self.inner.connections.run_rate_limit_script(&invocation, COMMIT_TIMEOUT).await?;
        let rows: Vec<String> = redis::from_redis_value(reply).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        rows.chunks_exact(3).map(parse_usage).collect()
    }

    pub(crate) async fn hourly_key_usage(
        &self,
        project: String,
        key: String,
        from: u64,
        to: u64,
    ) -> Result<Vec<(u64, u64)>> {
        let mut invocation = scripts::HOURLY_KEY_USAGE.prepare_invoke();
        invocation.key(self.tagged_key(USAGE_HOURS, &project)).arg(from).arg(to).arg(key);
        let reply = self.inner.connections.run_rate_limit_script(&invocation, COMMIT_TIMEOUT).await?;
        let rows: Vec<String> = redis::from_redis_value(reply).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        rows.as_chunks().0.iter().map(|[hour, count]| Ok((parse_number(hour)?, parse_number(count)?))).collect()
    }

    pub(crate) async fn hourly_last_used(&self, project: String, keys: Vec<String>) -> Result<Vec<Option<Timestamp>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("HMGET");
        command.arg(self.tagged_key("last-used", &project)).arg(&keys);
        let value = self.inner.connections.run_rate_limit_command(&command, COMMIT_TIMEOUT).await?;
        let timestamps: Vec<Option<u64>> =
            redis::from_redis_value(value).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        Ok(timestamps.into_iter().map(|ms| ms.map(Timestamp::from_ms)).collect())
    }

    pub(crate) async fn last_uses_page(
        &self,
        project: String,
        from: Option<String>,
        limit: usize,
    ) -> Result<LastUsesPage> {
        let mut command = redis::cmd("HSCAN");
        let cursor = from.as_deref().unwrap_or(SCAN_START);
        command.arg(self.tagged_key("last-used", &project)).arg(cursor).arg("COUNT").arg(limit);
        let value = self.inner.connections.run_rate_limit_command(&command, COMMIT_TIMEOUT).await?;
        let (next, found): (String, Vec<(String, u64)>) =
            redis::from_redis_value(value).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        let last_use = |(key, ms)| RawLastUse { project: project.clone(), key, ms };
        Ok(LastUsesPage { uses: found.into_iter().map(last_use).collect(), next: (next != SCAN_START).then_some(next) })
    }

    pub(crate) async fn remove_last_uses(&self, project: String, uses: Vec<RawLastUse>) -> Result<()> {
        for part in uses.chunks(MAX_KEYS_TOGETHER) {
            let mut invocation = scripts::REMOVE_LAST_USES.prepare_invoke();
            invocation.key(self.tagged_key(USAGE_HOURS, &project)).arg((HOURLY_RETENTION_HOURS + 1) * HOUR_MS);
            for RawLastUse { key, ms, .. } in part {
                invocation.arg(key).arg(*ms);
            }
            self.inner.connections.run_rate_limit_script(&invocation, COMMIT_TIMEOUT).await?;
        }
        Ok(())
    }
}

fn parse_usage(row: &[String]) -> Result<RawUsage> {
    Ok(RawUsage { hour: parse_number(&row[0])?, key: row[1].clone(), count: parse_number(&row[2])? })
}

pub(super) fn parse_number(text: &str) -> Result<u64> {
    text.parse().map_err(|error| StoreErrorKind::Corrupt.with(error))
}

//! Usage in the first format, by the hour, on Redis. Like rate limits, each project has its own hash tag.

use gatepost_domain::time::Timestamp;

use crate::error::{Result, StoreErrorKind};
use crate::ops::{RawLastUse, RawUsage, UsageGrouping};
use crate::options::{COMMIT_TIMEOUT, HOURLY_RETENTION_HOURS};

use super::client::Redis;
use super::scripts;

/// Suffix of the key that lists a project's hours; the scripts derive other keys from it.
const USAGE_HOURS: &str = "usage-hours";

impl Redis {
    pub(crate) async fn add_hourly_usage(&self, project: String, usage: Vec<(String, u64)>) -> Result<()> {
        for part in usage.chunks(super::usage::MAX_KEYS_PER_SCRIPT) {
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

    pub(crate) async fn some_last_used(&self, project: String, limit: u32) -> Result<Vec<RawLastUse>> {
        let mut command = redis::cmd("HSCAN");
        command.arg(self.tagged_key("last-used", &project)).arg(0).arg("COUNT").arg(limit);
        let value = self.inner.connections.run_rate_limit_command(&command, COMMIT_TIMEOUT).await?;
        let (_, found): (String, Vec<(String, u64)>) =
            redis::from_redis_value(value).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        Ok(found.into_iter().map(|(key, ms)| RawLastUse { project: project.clone(), key, ms }).collect())
    }

    pub(crate) async fn remove_last_used(&self, project: String, keys: Vec<String>) -> Result<()> {
        let mut command = redis::cmd("HDEL");
        command.arg(self.tagged_key("last-used", &project)).arg(&keys);
        self.inner.connections.run_rate_limit_command(&command, COMMIT_TIMEOUT).await.map(drop)
    }
}

fn parse_usage(row: &[String]) -> Result<RawUsage> {
    Ok(RawUsage { hour: parse_number(&row[0])?, key: row[1].clone(), count: parse_number(&row[2])? })
}

fn parse_number(text: &str) -> Result<u64> {
    text.parse().map_err(|error| StoreErrorKind::Corrupt.with(error))
}

//! Rate limit windows and usage counters on Redis. Each has its own hash tag, so that they spread over a cluster. They
//! do not compare the store id, because they reveal nothing about keys.

use std::time::Duration;

use gatepost_domain::time::Timestamp;
use gatepost_domain::window::{LeaseGrant, Limit, UnusedLease, WindowKind};

use crate::error::{Result, StoreErrorKind};
use crate::ops::{RawUsage, UsageGrouping};
use crate::options::{CLAIM_TIMEOUT, COMMIT_TIMEOUT, USAGE_RETENTION};

use super::client::Redis;
use super::scripts;

/// Suffix of the key that lists a project's hours; the scripts derive other keys from it.
const USAGE_HOURS: &str = "usage-hours";
/// Maximum number of keys whose uses one script adds: while a script runs, Redis serves nobody else.
const MAX_KEYS_PER_SCRIPT: usize = 100;

impl Redis {
    pub(crate) async fn lease_allowance(&self, name: String, limit: Limit, requested: u64) -> Result<LeaseGrant> {
        let mut invocation = scripts::LEASE_ALLOWANCE.prepare_invoke();
        invocation.key(self.tagged_key("window", &name));
        invocation.arg(self.inner.skew.ms()).arg(limit.max_requests).arg(requested).arg(limit.generation);
        invocation.arg(u64::try_from(limit.window_kind.max_length().as_millis()).unwrap_or(u64::MAX));
        match limit.window_kind {
            WindowKind::FromFirstUse(length) => {
                invocation.arg(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
            }
            WindowKind::Calendar(ends) => {
                invocation.arg("").arg(ends.map(Timestamp::as_ms).as_slice());
            }
        }
        let reply = self.inner.connections.run_rate_limit_script(&invocation, CLAIM_TIMEOUT).await?;
        let (granted, left, remaining_ms, reset_ms) =
            redis::from_redis_value(reply).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        Ok(LeaseGrant {
            granted,
            left_for_others: left,
            resets_in: Duration::from_millis(remaining_ms),
            reset: Timestamp::from_ms(reset_ms),
        })
    }

    pub(crate) async fn return_allowance(&self, name: String, unused: UnusedLease) -> Result<()> {
        let mut invocation = scripts::RETURN_ALLOWANCE.prepare_invoke();
        invocation.key(self.tagged_key("window", &name));
        invocation.arg(self.inner.skew.ms()).arg(unused.generation).arg(unused.reset.as_ms()).arg(unused.count);
        self.inner.connections.run_rate_limit_script(&invocation, CLAIM_TIMEOUT).await.map(drop)
    }

    pub(crate) async fn add_usage(&self, project: String, usage: Vec<(String, u64)>) -> Result<()> {
        for part in usage.chunks(MAX_KEYS_PER_SCRIPT) {
            let mut invocation = scripts::ADD_USAGE.prepare_invoke();
            invocation.key(self.tagged_key(USAGE_HOURS, &project));
            invocation.arg(self.inner.skew.ms()).arg(USAGE_RETENTION.as_secs() / 3600);
            for (key, count) in part {
                invocation.arg(key).arg(*count);
            }
            self.inner.connections.run_rate_limit_script(&invocation, COMMIT_TIMEOUT).await?;
        }
        Ok(())
    }

    pub(crate) async fn usage(
        &self,
        project: String,
        grouping: UsageGrouping,
        from: u64,
        to: u64,
    ) -> Result<Vec<RawUsage>> {
        let mut invocation = scripts::USAGE.prepare_invoke();
        invocation.key(self.tagged_key(USAGE_HOURS, &project)).arg(from).arg(to);
        invocation.arg(match grouping {
            UsageGrouping::Project => "project",
            UsageGrouping::Keys => "keys",
        });
        let reply = self.inner.connections.run_rate_limit_script(&invocation, COMMIT_TIMEOUT).await?;
        let rows: Vec<String> = redis::from_redis_value(reply).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        rows.chunks_exact(3).map(parse_usage).collect()
    }

    pub(crate) async fn key_usage(&self, project: String, key: String, from: u64, to: u64) -> Result<Vec<(u64, u64)>> {
        let mut invocation = scripts::KEY_USAGE.prepare_invoke();
        invocation.key(self.tagged_key(USAGE_HOURS, &project)).arg(from).arg(to).arg(key);
        let reply = self.inner.connections.run_rate_limit_script(&invocation, COMMIT_TIMEOUT).await?;
        let rows: Vec<String> = redis::from_redis_value(reply).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        rows.as_chunks().0.iter().map(|[hour, count]| Ok((parse_number(hour)?, parse_number(count)?))).collect()
    }

    pub(crate) async fn last_used(&self, project: String, keys: Vec<String>) -> Result<Vec<Option<Timestamp>>> {
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

    pub(super) fn tagged_key(&self, kind: &str, name: &str) -> String {
        format!("{{{}:{name}}}:{kind}", self.inner.namespace)
    }
}

fn parse_usage(row: &[String]) -> Result<RawUsage> {
    Ok(RawUsage { hour: parse_number(&row[0])?, key: row[1].clone(), count: parse_number(&row[2])? })
}

fn parse_number(text: &str) -> Result<u64> {
    text.parse().map_err(|error| StoreErrorKind::Corrupt.with(error))
}

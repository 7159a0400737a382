//! Rate limit windows on Redis. Each has its own hash tag, so that they spread over a cluster. They do not compare the
//! store id, because they reveal nothing about keys.

use std::time::Duration;

use gatepost_domain::time::Timestamp;
use gatepost_domain::window::{LeaseGrant, Limit, UnusedLease, WindowKind};

use crate::error::{Result, StoreErrorKind};
use crate::options::CLAIM_TIMEOUT;

use super::client::Redis;
use super::scripts;

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

    pub(super) fn tagged_key(&self, kind: &str, name: &str) -> String {
        format!("{{{}:{name}}}:{kind}", self.inner.namespace)
    }
}

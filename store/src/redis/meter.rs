//! Rate windows and counters on Redis. Each has a hash tag of its own, so that they spread over a
//! Cluster; they compare no store id, for they tell nothing about keys.

use std::time::Duration;

use gatepost_domain::time::Timestamp;
use gatepost_domain::window::{Allowance, Span};

use crate::error::{Result, StoreErrorKind};
use crate::options::{CLAIM_DEADLINE, COMMIT_DEADLINE};

use super::{Redis, scripts};

impl Redis {
    pub(crate) async fn lease_allowance(&self, meter: String, limit: u64, span: Span, want: u64) -> Result<Allowance> {
        let mut invocation = scripts::LEASE_ALLOWANCE.prepare_invoke();
        invocation.key(self.meter_key("window", &meter));
        invocation.arg(self.inner.skew.ms()).arg(limit).arg(want);
        match span {
            Span::Rolling(length) => {
                invocation.arg(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
            }
            Span::Calendar(ends) => {
                invocation.arg("").arg(ends.map(Timestamp::as_ms).as_slice());
            }
        }
        let answer = self.inner.connections.meter_script(&invocation, CLAIM_DEADLINE).await?;
        let (granted, left, remaining_ms, reset_ms) =
            redis::from_redis_value(answer).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        Ok(Allowance {
            granted,
            left,
            remaining: Duration::from_millis(remaining_ms),
            reset: Timestamp::from_ms(reset_ms),
        })
    }

    pub(crate) async fn return_allowance(&self, meter: String, reset: Timestamp, count: u64) -> Result<()> {
        let mut invocation = scripts::RETURN_ALLOWANCE.prepare_invoke();
        invocation.key(self.meter_key("window", &meter));
        invocation.arg(self.inner.skew.ms()).arg(reset.as_ms()).arg(count);
        self.inner.connections.meter_script(&invocation, CLAIM_DEADLINE).await.map(drop)
    }

    pub(crate) async fn add_usage(&self, usage: Vec<(String, u64)>) -> Result<()> {
        let adding = usage.iter().map(|(meter, count)| async move {
            let mut command = redis::cmd("INCRBY");
            command.arg(self.meter_key("usage", meter)).arg(*count);
            self.inner.connections.meter_command(&command, COMMIT_DEADLINE).await.map(drop)
        });
        futures::future::try_join_all(adding).await.map(drop)
    }

    pub(crate) async fn usage(&self, meters: Vec<String>) -> Result<Vec<u64>> {
        let reading = meters.iter().map(|meter| async move {
            let mut command = redis::cmd("GET");
            command.arg(self.meter_key("usage", meter));
            let value = self.inner.connections.meter_command(&command, COMMIT_DEADLINE).await?;
            let count: Option<u64> =
                redis::from_redis_value(value).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
            Ok(count.unwrap_or(0))
        });
        futures::future::try_join_all(reading).await
    }

    fn meter_key(&self, kind: &str, meter: &str) -> String {
        format!("{{{}:{meter}}}:{kind}", self.inner.namespace)
    }
}

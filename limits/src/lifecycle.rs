//! Starting and stopping a rate limiter with its background tasks.

use std::sync::Arc;

use gatepost_domain::time::Clock;
use gatepost_store::CellStore;
use prometheus::Registry;

use crate::decision::OutagePolicy;
use crate::limiter::RateLimiter;
use crate::{sweep, usage};

impl RateLimiter {
    /// Starts the rate limiter and its background tasks, which run until the last clone is dropped.
    ///
    /// # Errors
    /// Fails if its metrics are already registered.
    pub fn start(
        store: CellStore,
        clock: Arc<dyn Clock>,
        outage_policy: OutagePolicy,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let rate_limiter = Self::new(store, clock, outage_policy, registry)?;
        sweep::start(&rate_limiter);
        usage::start(&rate_limiter);
        Ok(rate_limiter)
    }

    /// Flushes usage to the store and returns all tokens. To be called after the last request.
    pub async fn stop(&self) {
        usage::flush(&self.0).await;
        sweep::return_all(self).await;
    }
}

//! The object that all use cases belong to.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::time::{Clock, Timestamp};
use gatepost_limits::RateLimiter;
use gatepost_store::{Recovery, Store};
use gatepost_webhook_client::Sender;
use gatepost_webhook_client::{PrivateNetworks, SsrfGuard};
use prometheus::Registry;

use crate::brute_force::{BruteForceLimiter, FAILURES_PER_MINUTE};
use crate::limits::{PAGE_SCAN_TIME, SharedLimits};
use crate::metrics::Metrics;

/// All use cases, over one store. Clones share it.
#[derive(Clone)]
pub struct ControlPlane {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ssrf_guard: SsrfGuard,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) rate_limiter: RateLimiter,
    pub(crate) brute_force: Arc<BruteForceLimiter>,
    pub(crate) sender: Sender,
    pub(crate) limits: SharedLimits,
    pub(crate) page_scan_time: Duration,
}

/// The reason why the use cases could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the admin API")]
pub struct BuildError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl ControlPlane {
    /// # Errors
    /// If the registry already has the metrics of a control plane, or the HTTP client for webhooks cannot be built.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        private_networks: PrivateNetworks,
        rate_limiter: RateLimiter,
        registry: &Registry,
    ) -> Result<Self, BuildError> {
        let ssrf_guard = SsrfGuard::new(private_networks);
        Ok(Self {
            metrics: Arc::new(Metrics::register(registry).map_err(|error| BuildError(error.into()))?),
            sender: Sender::new(ssrf_guard, Arc::clone(&clock)).map_err(|error| BuildError(error.into()))?,
            brute_force: Arc::new(BruteForceLimiter::new(FAILURES_PER_MINUTE)),
            limits: SharedLimits::new(),
            page_scan_time: PAGE_SCAN_TIME,
            store,
            clock,
            ssrf_guard,
            rate_limiter,
        })
    }

    /// Sets how many wrong access keys a client address may send in a minute.
    #[must_use]
    pub fn with_auth_failures_per_minute(self, failures_per_minute: u32) -> Self {
        Self { brute_force: Arc::new(BruteForceLimiter::new(failures_per_minute)), ..self }
    }

    /// Sets how long a page of the dashboard may search; 25 ms by default.
    #[must_use]
    pub fn with_page_scan_time(self, page_scan_time: Duration) -> Self {
        Self { page_scan_time, ..self }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns whether webhooks may go to private networks, and over http.
    pub fn allows_private_networks(&self) -> bool {
        self.ssrf_guard.private_networks() == PrivateNetworks::Allowed
    }

    /// Returns whether a new master of the store may still lack changes, so that "not found" is not reliable.
    pub fn recovery(&self) -> Recovery {
        self.store.single_cell().recovery()
    }
}

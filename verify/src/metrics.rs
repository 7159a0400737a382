//! Metrics of a gateway's cache, feed and first-use claims.

use gatepost_store::{StoreError, StoreErrorKind};
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Metrics of the verifier, registered once.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) cache_entries: IntGauge,
    pub(crate) first_use: IntCounter,
    pub(crate) pending_claims: IntGauge,
    pub(crate) feed_lag_s: Gauge,
    pub(crate) live: IntGauge,
    pub(crate) wrong_keys_refused: IntCounter,
    pub(crate) propagation_s: Histogram,
    store_errors: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            cache_entries: IntGauge::new("gatepost_key_cache_entries", "Number of cached keys.")?,
            first_use: IntCounter::new("gatepost_first_use_total", "First uses of keys claimed by this process.")?,
            pending_claims: IntGauge::new(
                "gatepost_first_use_pending",
                "First-use claims that wait for a retry because the store did not respond.",
            )?,
            feed_lag_s: Gauge::new(
                "gatepost_feed_lag_seconds",
                "Seconds since this process was last known to have applied all changes.",
            )?,
            live: IntGauge::new("gatepost_live", "1 while the gateway is live and trusts its cache, otherwise 0.")?,
            wrong_keys_refused: IntCounter::new(
                "gatepost_wrong_keys_refused_total",
                "Requests rejected without a lookup because their client had sent too many wrong keys.",
            )?,
            propagation_s: Histogram::with_opts(
                HistogramOpts::new(
                    "gatepost_change_propagation_seconds",
                    "Seconds from the commit of a change to its application here. Subject to clock skew.",
                )
                .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0]),
            )?,
            store_errors: IntCounterVec::new(
                Opts::new("gatepost_store_errors_total", "Failed store operations by kind."),
                &["kind"],
            )?,
        };
        metrics.register_all(registry)?;
        Ok(metrics)
    }

    fn register_all(&self, registry: &Registry) -> prometheus::Result<()> {
        for kind in [
            StoreErrorKind::Unavailable,
            StoreErrorKind::WrongStore,
            StoreErrorKind::Unconfirmed,
            StoreErrorKind::Full,
            StoreErrorKind::Corrupt,
            StoreErrorKind::Refused,
        ] {
            self.store_errors.with_label_values(&[kind.as_str()]);
        }
        registry.register(Box::new(self.cache_entries.clone()))?;
        registry.register(Box::new(self.first_use.clone()))?;
        registry.register(Box::new(self.wrong_keys_refused.clone()))?;
        registry.register(Box::new(self.pending_claims.clone()))?;
        registry.register(Box::new(self.feed_lag_s.clone()))?;
        registry.register(Box::new(self.live.clone()))?;
        registry.register(Box::new(self.propagation_s.clone()))?;
        registry.register(Box::new(self.store_errors.clone()))
    }

    pub(crate) fn count_store_error(&self, error: &StoreError) {
        self.store_errors.with_label_values(&[error.kind().as_str()]).inc();
    }
}

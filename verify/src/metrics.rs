//! Metrics of lookups, first-use claims and the feed that events change.

use gatepost_store::{StoreError, StoreErrorKind};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

/// Metrics of a verifier, registered once.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) first_use: IntCounter,
    pub(crate) wrong_keys_refused: IntCounter,
    pub(crate) propagation_s: Histogram,
    store_errors: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            first_use: IntCounter::new("gatepost_first_use_total", "First uses of keys claimed by this process.")?,
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
        for kind in StoreErrorKind::ALL {
            metrics.store_errors.with_label_values(&[kind.as_str()]);
        }
        registry.register(Box::new(metrics.first_use.clone()))?;
        registry.register(Box::new(metrics.wrong_keys_refused.clone()))?;
        registry.register(Box::new(metrics.propagation_s.clone()))?;
        registry.register(Box::new(metrics.store_errors.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn count_store_error(&self, error: &StoreError) {
        self.store_errors.with_label_values(&[error.kind().as_str()]).inc();
    }
}

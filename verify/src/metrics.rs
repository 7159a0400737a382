//! Metrics of first uses, wrong keys, store errors, and the propagation of changes.

use gatepost_runtime::registered;
use gatepost_store::{StoreError, StoreErrorKind};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

/// Buckets for the time from the commit of a change to its application, in seconds.
const PROPAGATION_BUCKETS_S: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0];

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
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        let propagation_s = HistogramOpts::new(
            "gatepost_change_propagation_seconds",
            "Seconds from the commit of a change to its application here. Subject to clock skew.",
        )
        .buckets(PROPAGATION_BUCKETS_S.to_vec());
        let store_errors = Opts::new("gatepost_store_errors_total", "Failed store operations by kind.");
        let store_errors = registered(registry, IntCounterVec::new(store_errors, &["kind"]))?;
        for kind in StoreErrorKind::ALL {
            store_errors.with_label_values(&[kind.as_str()]);
        }
        Ok(Self {
            first_use: counter("gatepost_first_use_total", "First uses of keys claimed by this process.")?,
            wrong_keys_refused: counter(
                "gatepost_wrong_keys_refused_total",
                "Requests rejected without a lookup because their client had sent too many wrong keys.",
            )?,
            propagation_s: registered(registry, Histogram::with_opts(propagation_s))?,
            store_errors,
        })
    }

    pub(crate) fn count_store_error(&self, error: &StoreError) {
        self.store_errors.with_label_values(&[error.kind().as_str()]).inc();
    }
}

//! Metrics of reloads.

use gatepost_domain::time::Timestamp;
use gatepost_runtime::registered;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

pub(super) struct ReloadMetrics {
    reloads: IntCounterVec,
    faulty: IntGauge,
    applied_at: IntGauge,
}

impl ReloadMetrics {
    pub(super) fn register(registry: &Registry, now: Timestamp) -> prometheus::Result<Self> {
        let reloads = Opts::new("gatepost_config_reloads_total", "Reloads of the configuration, by outcome.");
        let faulty = IntGauge::new(
            "gatepost_config_faulty",
            "1 if the configuration was read again and cannot be used, so that the old one stays.",
        );
        let applied_at = IntGauge::new(
            "gatepost_config_applied_timestamp_seconds",
            "When the configuration in use was taken over, in seconds since 1970.",
        );
        let metrics = Self {
            reloads: registered(registry, IntCounterVec::new(reloads, &["outcome"]))?,
            faulty: registered(registry, faulty)?,
            applied_at: registered(registry, applied_at)?,
        };
        metrics.applied_at.set(seconds(now));
        Ok(metrics)
    }

    pub(super) fn record(&self, is_applied: bool, now: Timestamp) {
        self.reloads.with_label_values(&[if is_applied { "applied" } else { "refused" }]).inc();
        self.faulty.set(i64::from(!is_applied));
        if is_applied {
            self.applied_at.set(seconds(now));
        }
    }
}

fn seconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_seconds()).unwrap_or(i64::MAX)
}

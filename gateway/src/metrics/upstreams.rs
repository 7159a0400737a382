//! Metrics of upstreams.

use gatepost_runtime::registered;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

#[derive(Debug)]
pub(crate) struct UpstreamsMetrics {
    servers: IntGaugeVec,
    resolve_errors: IntCounterVec,
    faulty_files: IntGaugeVec,
}

/// Metrics of one upstream.
#[derive(Debug)]
pub(crate) struct UpstreamMetrics {
    pub(crate) servers: IntGauge,
    pub(crate) resolve_errors: IntCounter,
}

impl UpstreamsMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let servers = Opts::new("gatepost_upstream_servers", "Addresses to which the names of an upstream resolve.");
        let resolve_errors =
            Opts::new("gatepost_upstream_resolve_errors_total", "Names of servers that could not be resolved.");
        let faulty_files = Opts::new(
            "gatepost_upstream_certificate_files_faulty",
            "1 if the certificate files of an upstream have changed and cannot be used, so that the old ones stay.",
        );
        Ok(Self {
            servers: registered(registry, IntGaugeVec::new(servers, &["upstream"]))?,
            resolve_errors: registered(registry, IntCounterVec::new(resolve_errors, &["upstream"]))?,
            faulty_files: registered(registry, IntGaugeVec::new(faulty_files, &["upstream"]))?,
        })
    }

    pub(crate) fn of(&self, upstream: &str) -> UpstreamMetrics {
        UpstreamMetrics {
            servers: self.servers.with_label_values(&[upstream]),
            resolve_errors: self.resolve_errors.with_label_values(&[upstream]),
        }
    }

    /// Forgets an upstream that is not configured any more.
    pub(crate) fn forget(&self, upstream: &str) {
        // It has no servers if it was never resolved.
        let _ = self.servers.remove_label_values(&[upstream]);
        self.forget_files(upstream);
    }

    /// Returns the gauge that tells whether the files of an upstream cannot be used.
    pub(crate) fn faulty_files(&self, upstream: &str) -> IntGauge {
        self.faulty_files.with_label_values(&[upstream])
    }

    /// Forgets the files of an upstream that has none.
    pub(crate) fn forget_files(&self, upstream: &str) {
        // It had none before either, mostly.
        let _ = self.faulty_files.remove_label_values(&[upstream]);
    }
}

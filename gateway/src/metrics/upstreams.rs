//! Metrics of upstreams.

use gatepost_runtime::registered;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

#[derive(Debug)]
pub(crate) struct UpstreamsMetrics {
    servers: IntGaugeVec,
    resolve_errors: IntCounterVec,
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
        Ok(Self {
            servers: registered(registry, IntGaugeVec::new(servers, &["upstream"]))?,
            resolve_errors: registered(registry, IntCounterVec::new(resolve_errors, &["upstream"]))?,
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
    }
}

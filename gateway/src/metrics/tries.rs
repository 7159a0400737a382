//! Metrics of the tries of requests at upstreams. Handles are resolved once, so that a request takes no lock.

use std::time::Duration;

use gatepost_edge::DURATION_BUCKETS_S;
use gatepost_runtime::registered;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

#[derive(Debug)]
pub(super) struct TriesMetrics {
    tries: IntCounterVec,
    header_s: HistogramVec,
}

/// End of one try of a request at an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TryResult {
    /// A whole response came.
    Response,
    /// No connection.
    Connect,
    /// The TLS handshake failed, or the upstream broke TLS off.
    Tls,
    /// Connecting, the handshake, a read or a write took too long.
    Timeout,
    /// The connection ended before the response was whole.
    Closed,
    /// What came is not a valid response.
    Invalid,
    /// The client went away, or its request was not valid to the end.
    Client,
    /// A fault of the gateway.
    Internal,
}

/// Handles of one upstream.
#[derive(Debug)]
pub(crate) struct UpstreamCounters {
    tries: [IntCounter; TryResult::ALL.len()],
    header_s: Histogram,
}

impl TryResult {
    /// In the order of their numbers.
    const ALL: [Self; 8] = [
        Self::Response,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Closed,
        Self::Invalid,
        Self::Client,
        Self::Internal,
    ];

    fn label(self) -> &'static str {
        match self {
            TryResult::Response => "response",
            TryResult::Connect => "connect",
            TryResult::Tls => "tls",
            TryResult::Timeout => "timeout",
            TryResult::Closed => "closed",
            TryResult::Invalid => "invalid",
            TryResult::Client => "client",
            TryResult::Internal => "internal",
        }
    }
}

impl TriesMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let tries = Opts::new("gatepost_upstream_requests_total", "Requests to upstreams by result, each try.");
        let header_s = HistogramOpts::new(
            "gatepost_upstream_duration_seconds",
            "From the first choice of a server for a request to the header of the response.",
        );
        let header_s = HistogramVec::new(header_s.buckets(DURATION_BUCKETS_S.to_vec()), &["upstream"]);
        Ok(Self {
            tries: registered(registry, IntCounterVec::new(tries, &["upstream", "result"]))?,
            header_s: registered(registry, header_s)?,
        })
    }

    pub(super) fn counters(&self, upstream: &str) -> UpstreamCounters {
        UpstreamCounters {
            tries: TryResult::ALL.map(|result| self.tries.with_label_values(&[upstream, result.label()])),
            header_s: self.header_s.with_label_values(&[upstream]),
        }
    }
}

impl UpstreamCounters {
    pub(crate) fn record_try(&self, result: TryResult) {
        self.tries[result as usize].inc();
    }

    /// Records the header of a response, with the time since a server was first chosen.
    pub(crate) fn record_header(&self, waited: Duration) {
        self.header_s.observe(waited.as_secs_f64());
    }
}

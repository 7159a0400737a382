//! Metrics of connections and requests. Handles are resolved once, so that a request takes no lock.

mod tls;
mod tries;
mod upstreams;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gatepost_edge::{AuthOutcome, DURATION_BUCKETS_S};
use gatepost_runtime::registered;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::listen::ProxyHeaderError;

pub(crate) use tls::TlsMetrics;
use tries::TriesMetrics;
pub(crate) use tries::{TryResult, UpstreamCounters};
pub(crate) use upstreams::{UpstreamMetrics, UpstreamsMetrics};

/// Number of statuses from 100 to 599.
const STATUSES: usize = 500;
/// Label of requests without a route.
const NO_ROUTE: &str = "none";

#[derive(Debug)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    /// Counters of requests without a route.
    no_route: RouteCounters,
    duration_s: Histogram,
    tries: TriesMetrics,
    pub(crate) connections: IntGauge,
    pub(crate) refused_connections: IntCounterVec,
    proxy_headers: IntCounterVec,
    pub(crate) tls: Arc<TlsMetrics>,
    pub(crate) upstreams: UpstreamsMetrics,
    /// Access log lines that were dropped because their writer was too slow.
    pub(crate) dropped_lines: IntCounter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let requests = counters(
            "gatepost_requests_total",
            "Requests by route, outcome and status.",
            &["route", "outcome", "status"],
        )?;
        let duration_s =
            HistogramOpts::new("gatepost_request_duration_seconds", "From the end of a request's header to its end.")
                .buckets(DURATION_BUCKETS_S.to_vec());
        let connections = IntGauge::new("gatepost_connections", "Open connections of clients.");
        let dropped_lines = IntCounter::new(
            "gatepost_access_log_dropped_total",
            "Lines of the access log that were dropped because standard error takes them too slowly.",
        );
        Ok(Self {
            no_route: RouteCounters::new(&requests, NO_ROUTE),
            requests,
            duration_s: registered(registry, Histogram::with_opts(duration_s))?,
            tries: TriesMetrics::register(registry)?,
            connections: registered(registry, connections)?,
            refused_connections: counters(
                "gatepost_refused_connections_total",
                "Connections of clients that were closed at once.",
                &["reason"],
            )?,
            proxy_headers: counters(
                "gatepost_proxy_protocol_connections_total",
                "Connections to listeners of the PROXY protocol, by the outcome of reading their header.",
                &["outcome"],
            )?,
            tls: Arc::new(TlsMetrics::register(registry)?),
            upstreams: UpstreamsMetrics::register(registry)?,
            dropped_lines: registered(registry, dropped_lines)?,
        })
    }

    pub(crate) fn record_proxy_header(&self, error: Option<&ProxyHeaderError>) {
        let outcome = error.map_or("ok", ProxyHeaderError::label);
        self.proxy_headers.with_label_values(&[outcome]).inc();
    }

    /// Returns the counters of a route. Routes of the same name share them, also across reloads.
    pub(crate) fn route_counters(&self, name: &str) -> RouteCounters {
        RouteCounters::new(&self.requests, name)
    }

    /// Returns the counters of an upstream. Upstreams of the same name share them, also across reloads.
    pub(crate) fn upstream_counters(&self, name: &str) -> UpstreamCounters {
        self.tries.counters(name)
    }

    /// Records a request that has ended, for its route if it has one.
    pub(crate) fn record_request(
        &self,
        route: Option<&RouteCounters>,
        outcome: AuthOutcome,
        status: u16,
        duration: Duration,
    ) {
        self.duration_s.observe(duration.as_secs_f64());
        route.unwrap_or(&self.no_route).increment(outcome, status);
    }
}

/// Counters of one route's requests, each resolved by the first request that it counts.
#[derive(Debug)]
pub(crate) struct RouteCounters {
    route: String,
    requests: IntCounterVec,
    /// By outcome and status. Those of an outcome take 8 KB, so a route has only those that occur.
    counters: [OnceLock<StatusCounters>; AuthOutcome::LABELS.len()],
}

type StatusCounters = Box<[OnceLock<IntCounter>; STATUSES]>;

impl RouteCounters {
    fn new(requests: &IntCounterVec, route: &str) -> Self {
        let counters = std::array::from_fn(|_| OnceLock::new());
        Self { route: route.to_owned(), requests: requests.clone(), counters }
    }

    fn increment(&self, outcome: AuthOutcome, status: u16) {
        let of_outcome =
            self.counters[outcome.index()].get_or_init(|| Box::new(std::array::from_fn(|_| OnceLock::new())));
        let counter = of_outcome[usize::from(status.clamp(100, 599) - 100)].get_or_init(|| {
            self.requests.with_label_values(&[self.route.as_str(), outcome.label(), &status.to_string()])
        });
        counter.inc();
    }
}

//! Steps of a request one by one, for benchmarks. Not part of the program.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::key_facts::KeyFacts;
use gatepost_domain::time::{Clock, Timestamp, Uptime};
use gatepost_edge::bench_support::{self as edge, MetricsBench};
use gatepost_edge::{AuthOutcome, PeerTrust, RequestView, RouteOptions};
use pingora::http::RequestHeader;
use prometheus::Registry;

use crate::access_log::{AccessLogLine, EndedRequest};
use crate::context::Context;
use crate::header_rules::StripMode;
use crate::in_flight::InFlight;
use crate::metrics::{Metrics, TryResult};
use crate::options::{GatewayLimits, GatewayOptions, UpstreamOptions};
use crate::peer_ip::PeerIp;
use crate::request_id::RequestIds;
use crate::snapshot::Snapshot;
use crate::tls::TlsMaterials;
use crate::trace::{Trace, TraceOptions};
use crate::{http1_header, upstream_headers};

/// A plain request, and a gateway with one route.
#[derive(Debug)]
pub struct RequestBench {
    request: RequestHeader,
    raw: Vec<u8>,
    context: Context,
    auth_metrics: MetricsBench,
    metrics: Metrics,
}

impl RequestBench {
    /// Prepares a request with these header fields.
    ///
    /// # Panics
    /// If the header or the route is not valid.
    pub async fn new(route: RouteOptions, path: &str, fields: &[(&'static str, String)], facts: Arc<KeyFacts>) -> Self {
        let mut request = RequestHeader::build("GET", path.as_bytes(), None).expect("a path is a target");
        let mut raw = format!("GET {path} HTTP/1.1\r\n");
        for (name, value) in fields {
            request.append_header(*name, value.as_str()).expect("a field is a field");
            raw.push_str(&format!("{name}: {value}\r\n"));
        }
        let registry = Registry::new();
        let auth_metrics = MetricsBench::new(&registry);
        let metrics = Metrics::register(&registry).expect("nothing is registered yet");
        let built = Snapshot::build(options(route), &mut TlsMaterials::default(), &metrics, None).await;
        let snapshot = built.expect("the upstream is an address").snapshot;
        let mut context = Context::new(Arc::new(snapshot), RequestIds::new().next(), InFlight::default().enter());
        context.peer_ip = Some(PeerIp::new([127, 0, 0, 1].into()));
        let mut bench = Self { request, raw: raw.into_bytes(), context, auth_metrics, metrics };
        let view = bench.view();
        let route = edge::validate_and_route(&bench.context.snapshot.policy, &view).map(Arc::clone);
        let decision = edge::permitted(route.expect("the route matches the path"), facts);
        let server =
            decision.route.as_ref().and_then(|route| route.backend.upstream.as_ref()?.upstream.choose(&NoClock));
        bench.context.server = server;
        bench.context.decision = Some(decision);
        bench.context.trace = Some(bench.new_trace());
        bench
    }

    /// Validates the request, with the checks of its bytes, and finds its route.
    pub fn validate_and_route(&self) {
        black_box(edge::validate_and_route(&self.context.snapshot.policy, &self.view()));
    }

    pub fn find_credential(&self) {
        if let Some(route) = self.context.route() {
            black_box(edge::find_credential(route, &self.request.headers));
        }
    }

    /// Starts a trace, as for a request without one.
    pub fn start_trace(&self) {
        black_box(self.new_trace());
    }

    fn new_trace(&self) -> Trace {
        Trace::of(&self.request.headers, PeerTrust::Untrusted, TraceOptions::default())
    }

    fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.request.method,
            version: self.request.version,
            target: self.request.raw_path(),
            authority: None,
            headers: &self.request.headers,
            header_bytes: self.raw.len(),
            body: http1_header::check(&self.request, &self.raw),
            peer: self.context.peer_ip.as_ref().map(|peer| peer.ip),
        }
    }

    /// Copies the header, as Pingora does for the upstream.
    pub fn copy_header(&self) -> RequestHeader {
        self.request.clone()
    }

    /// Copies the header, and edits the copy for the upstream. Its trace is always the same.
    pub fn edit_headers(&self) {
        let mut request = self.request.clone();
        if let (Some(decision), Some(route)) = (&self.context.decision, self.context.route()) {
            upstream_headers::rewrite(&mut request, decision, route, &self.context);
        }
        black_box(request);
    }

    /// Records the metrics of a request.
    pub fn record_metrics(&self) {
        self.auth_metrics.record_hit();
        let counters = self.context.route().map(|route| &route.backend.counters);
        self.metrics.record_request(counters, AuthOutcome::Permitted, 200, Duration::from_micros(300));
        if let Some(counters) = self.context.upstream_counters() {
            counters.record_header(Duration::from_micros(200));
            counters.record_try(TryResult::Response);
        }
    }

    /// Renders the access log line without writing it.
    pub fn render_access_log_line(&self) {
        let now = Timestamp::from_ms(1_764_000_000_123);
        let ended = EndedRequest {
            method: "GET",
            path: "/v1/items/42",
            status: 200,
            reason: "",
            protocol: Some("HTTP/1.1"),
            bytes_received: 0,
            bytes_sent: 6,
            duration: Duration::from_micros(300),
            upstream_duration: Some(Duration::from_micros(200)),
        };
        let line = AccessLogLine::new(&self.context, ended, now);
        black_box(line.render_len());
    }
}

/// A clock that is not read: one server needs no turns.
struct NoClock;

impl Clock for NoClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(0)
    }

    fn uptime(&self) -> Uptime {
        Uptime::from_ms(0)
    }
}

/// Options with one route, to an upstream that needs no resolver.
fn options(route: RouteOptions) -> GatewayOptions {
    let upstream = UpstreamOptions::plain(&route.upstream, vec!["127.0.0.1:3000".to_owned()]);
    GatewayOptions {
        routes: vec![route],
        upstreams: vec![upstream],
        trusted_proxies: Vec::new(),
        strip: StripMode::Default,
        pass_headers: Vec::new(),
        limits: GatewayLimits::default(),
        trace: Some(TraceOptions::default()),
    }
}

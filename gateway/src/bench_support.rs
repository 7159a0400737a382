//! The steps of a request one by one, for those who count what each costs. Not part of the program.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::path::CanonicalPath;
use gatepost_domain::permit::KeyFacts;
use gatepost_domain::time::Timestamp;
use gatepost_verify::Source;
use pingora::http::RequestHeader;
use prometheus::Registry;

use crate::access_log::AccessLogLine;
use crate::client_ip::PeerIp;
use crate::context::Context;
use crate::header_rules::StripMode;
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::options::{GatewayOptions, Limits, RouteOptions, UpstreamOptions};
use crate::outcome::AuthOutcome;
use crate::request_id::RequestIds;
use crate::request_validation::Destination;
use crate::route::RouteMatch;
use crate::snapshot::{Route, Snapshot};
use crate::{credential, request_validation, upstream_headers};

/// A request that has all that a plain one has, and a gateway with one route.
#[derive(Debug)]
pub struct RequestBench {
    request: RequestHeader,
    raw: Vec<u8>,
    context: Context,
    metrics: Metrics,
    route: Arc<Route>,
}

impl RequestBench {
    /// For a request with these header fields.
    ///
    /// # Panics
    /// If the header or the route cannot be.
    pub async fn new(route: RouteOptions, path: &str, fields: &[(&'static str, String)], facts: Arc<KeyFacts>) -> Self {
        let mut request = RequestHeader::build("GET", path.as_bytes(), None).expect("a path is a target");
        let mut raw = format!("GET {path} HTTP/1.1\r\n");
        for (name, value) in fields {
            request.append_header(*name, value.as_str()).expect("a field is a field");
            raw.push_str(&format!("{name}: {value}\r\n"));
        }
        let metrics = Metrics::register(&Registry::new()).expect("nothing is registered yet");
        let snapshot = Snapshot::build(options(route), &metrics).await.expect("the upstream is an address");
        let path = CanonicalPath::parse(path).expect("the path is canonical");
        let RouteMatch::Matched(route) = snapshot.routes.find("", &path, &request.method) else {
            panic!("the route matches the path");
        };
        let route = Arc::clone(route);
        let mut context = Context::new(Arc::new(snapshot), RequestIds::new().next(), InFlight::default().enter());
        context.peer_ip = Some(PeerIp::new([127, 0, 0, 1].into()));
        context.outcome = AuthOutcome::Permitted;
        context.source = Some(Source::Cache);
        context.facts = Some(facts);
        context.route = Some(Arc::clone(&route));
        Self { request, raw: raw.into_bytes(), context, metrics, route }
    }

    /// The strict front, the canonical path included, and the choice of a route.
    pub fn validate_and_route(&self) {
        let validated =
            request_validation::validate(&self.request, &self.raw, self.context.snapshot.limits.max_body_bytes);
        if let Ok(Destination::Upstream(request)) = black_box(validated) {
            black_box(matches!(
                self.context.snapshot.routes.find(request.host, &request.path, &self.request.method),
                RouteMatch::Matched(..)
            ));
        }
    }

    /// The search for the credential.
    pub fn find_credential(&self) {
        black_box(credential::find(&self.request.headers, &self.route.credential).is_ok());
    }

    /// A copy of the header, as Pingora makes one for the upstream.
    pub fn copy_header(&self) -> RequestHeader {
        self.request.clone()
    }

    /// A copy, of which all is taken away and to which all is added that is for the upstream.
    pub fn edit_headers(&self) {
        let mut request = self.request.clone();
        upstream_headers::rewrite(&mut request, &self.route, &self.context);
        black_box(request);
    }

    /// What a request adds to the metrics.
    pub fn record_metrics(&self) {
        self.metrics.record_auth(AuthOutcome::Permitted, Source::Cache, Duration::from_micros(7));
        self.metrics.record_request(
            Some(&self.route.backend.counters),
            AuthOutcome::Permitted,
            200,
            Duration::from_micros(300),
        );
    }

    /// Its line in the access log, without the writing.
    pub fn render_access_log_line(&self) {
        let now = Timestamp::from_ms(1_764_000_000_123);
        let (method, path, upstream) = ("GET", "/v1/items/42", Some("127.0.0.1:3000"));
        let base = AccessLogLine::from_context(&self.context, now);
        let line =
            AccessLogLine { method, path, route: "/", status: 200, upstream, bytes_sent: 6, duration_us: 300, ..base };
        black_box(line.render_len());
    }
}

/// Options with one route, to an upstream that needs no resolver.
fn options(route: RouteOptions) -> GatewayOptions {
    let upstream = UpstreamOptions { name: route.upstream.clone(), servers: vec!["127.0.0.1:3000".to_owned()] };
    GatewayOptions {
        routes: vec![route],
        upstreams: vec![upstream],
        trusted_proxies: Vec::new(),
        strip: StripMode::Default,
        pass_headers: Vec::new(),
        limits: Limits::default(),
    }
}

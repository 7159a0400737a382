//! The steps of a request one by one, for those who count what each costs. Not part of the program.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::permit::KeyFacts;
use gatepost_domain::time::Timestamp;
use gatepost_verify::Source;
use pingora::http::RequestHeader;
use prometheus::Registry;

use crate::access_log::AccessLogLine;
use crate::client_ip::PeerIp;
use crate::context::{AuthOutcome, Context};
use crate::header_rules::StripMode;
use crate::header_sanitizer::HeaderSanitizer;
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::options::{Limits, RouteOptions};
use crate::request_id::RequestIds;
use crate::request_validation::Destination;
use crate::route::{RouteMatch, Routes};
use crate::{credential, request_validation, upstream_headers};

/// A request that has all that a plain one has, and a gateway with one route.
#[derive(Debug)]
pub struct RequestBench {
    request: RequestHeader,
    raw: Vec<u8>,
    routes: Routes,
    sanitizer: HeaderSanitizer,
    context: Context,
    metrics: Metrics,
    max_body_bytes: u64,
}

impl RequestBench {
    /// For a request with these header fields.
    ///
    /// # Panics
    /// If the header or the route cannot be.
    pub fn new(route: RouteOptions, path: &str, fields: &[(&'static str, String)], facts: Arc<KeyFacts>) -> Self {
        let mut request = RequestHeader::build("GET", path.as_bytes(), None).expect("a path is a target");
        let mut raw = format!("GET {path} HTTP/1.1\r\n");
        for (name, value) in fields {
            request.append_header(*name, value.as_str()).expect("a field is a field");
            raw.push_str(&format!("{name}: {value}\r\n"));
        }
        let routes = Routes::new(vec![route], |_| Some(0)).expect("the upstream is known");
        let metrics = Metrics::register(&Registry::new(), routes.names()).expect("nothing is registered yet");
        let mut context = Context::new(RequestIds::new().next(), InFlight::default().enter());
        context.peer_ip = Some(PeerIp::new([127, 0, 0, 1].into()));
        context.outcome = AuthOutcome::Permitted;
        context.source = Some(Source::Cache);
        context.facts = Some(facts);
        context.route_index = Some(0);
        let sanitizer = HeaderSanitizer::new(StripMode::Default, Vec::new());
        let max_body_bytes = Limits::default().max_body_bytes;
        Self { request, raw: raw.into_bytes(), routes, sanitizer, context, metrics, max_body_bytes }
    }

    /// The strict front, the canonical path included, and the choice of a route.
    pub fn validate_and_route(&self) {
        let validated = request_validation::validate(&self.request, &self.raw, self.max_body_bytes);
        if let Ok(Destination::Upstream(request)) = black_box(validated) {
            black_box(matches!(
                self.routes.find(request.host, &request.path, &self.request.method),
                RouteMatch::Matched(..)
            ));
        }
    }

    /// The search for the credential.
    pub fn find_credential(&self) {
        if let Some(route) = self.routes.get(0) {
            black_box(credential::find(&self.request.headers, &route.credential).is_ok());
        }
    }

    /// A copy of the header, as Pingora makes one for the upstream.
    pub fn copy_header(&self) -> RequestHeader {
        self.request.clone()
    }

    /// A copy, of which all is taken away and to which all is added that is for the upstream.
    pub fn edit_headers(&self) {
        let mut request = self.request.clone();
        if let Some(route) = self.routes.get(0) {
            upstream_headers::rewrite(&mut request, route, &self.sanitizer, &self.context);
        }
        black_box(request);
    }

    /// What a request adds to the metrics.
    pub fn record_metrics(&self) {
        self.metrics.record_auth(AuthOutcome::Permitted, Source::Cache, Duration::from_micros(7));
        self.metrics.record_request(Some(0), AuthOutcome::Permitted, 200, Duration::from_micros(300));
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

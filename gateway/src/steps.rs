//! The steps of a request one by one, for those who count what each costs. Not part of the program.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::permit::KeyFacts;
use gatepost_domain::time::Timestamp;
use gatepost_verify::Source;
use pingora::http::RequestHeader;
use prometheus::Registry;

use crate::access_log::Line;
use crate::client::Client;
use crate::context::{Context, Outcome};
use crate::front::Destination;
use crate::in_flight::InFlight;
use crate::listed::Strip;
use crate::metrics::Metrics;
use crate::options::{Limits, RouteOptions};
use crate::request_id::RequestIds;
use crate::route::{Found, Routes};
use crate::strip::Stripper;
use crate::{credential, front, identity};

/// A request that has all that a plain one has, and a gateway with one route.
#[derive(Debug)]
pub struct Steps {
    request: RequestHeader,
    raw: Vec<u8>,
    routes: Routes,
    stripper: Stripper,
    context: Context,
    metrics: Metrics,
    max_body_bytes: u64,
}

impl Steps {
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
        context.client = Some(Client::new([127, 0, 0, 1].into()));
        context.outcome = Outcome::Permitted;
        context.source = Some(Source::Cache);
        context.facts = Some(facts);
        context.route = Some(0);
        let stripper = Stripper::new(Strip::Default, Vec::new());
        let max_body_bytes = Limits::default().max_body_bytes;
        Self { request, raw: raw.into_bytes(), routes, stripper, context, metrics, max_body_bytes }
    }

    /// The strict front, the canonical path included, and the choice of a route.
    pub fn front_and_route(&self) {
        let front = front::check(&self.request, &self.raw, self.max_body_bytes);
        if let Ok(Destination::Upstream(front)) = black_box(front) {
            black_box(matches!(self.routes.find(front.host, &front.path, &self.request.method), Found::Route(..)));
        }
    }

    /// The search for the credential.
    pub fn credential(&self) {
        if let Some(route) = self.routes.at(0) {
            black_box(credential::find(&self.request.headers, &route.credential).is_ok());
        }
    }

    /// A copy of the header, as Pingora makes one for the upstream.
    pub fn header_copy(&self) -> RequestHeader {
        self.request.clone()
    }

    /// A copy, of which all is taken away and to which all is added that is for the upstream.
    pub fn header_edits(&self) {
        let mut request = self.request.clone();
        if let Some(route) = self.routes.at(0) {
            identity::rewrite(&mut request, route, &self.stripper, &self.context);
        }
        black_box(request);
    }

    /// What a request adds to the metrics.
    pub fn metrics(&self) {
        self.metrics.checked(Outcome::Permitted, Source::Cache, Duration::from_micros(7));
        self.metrics.ended(Some(0), Outcome::Permitted, 200, Duration::from_micros(300));
    }

    /// Its line in the access log, without the writing.
    pub fn access_line(&self) {
        let now = Timestamp::from_ms(1_764_000_000_123);
        let (method, path, upstream) = ("GET", "/v1/items/42", Some("127.0.0.1:3000"));
        let known = Line::of(&self.context, now);
        let line = Line { method, path, route: "/", status: 200, upstream, bytes_sent: 6, duration_us: 300, ..known };
        black_box(line.make());
    }
}

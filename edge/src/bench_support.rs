//! Parts of a decision for benchmarks. Not part of the program.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::key_facts::KeyFacts;
use gatepost_verify::Source;
use http::HeaderMap;
use prometheus::Registry;

use crate::authorizer::Policy;
use crate::client_ip::PeerTrust;
use crate::credential;
use crate::decision::{AuthOutcome, AuthorizedAs, Decision, KeyCheck, RequestAction};
use crate::metrics::Metrics;
use crate::request_validation::{self, Destination};
use crate::request_view::{BodyLength, RequestView};
use crate::route::Route;
use crate::route_table::RouteMatch;

/// The metrics of decisions, on their own.
#[derive(Debug)]
pub struct MetricsBench(Metrics);

impl MetricsBench {
    /// # Panics
    /// If the registry has them already.
    pub fn new(registry: &Registry) -> Self {
        Self(Metrics::register(registry).expect("nothing is registered yet"))
    }

    pub fn record_hit(&self) {
        self.0.record_check(AuthOutcome::Permitted, Source::Cache, Duration::from_micros(7));
    }
}

/// Validates a request, the canonical path included, and finds its route.
pub fn validate_and_route<'a, B>(policy: &'a Policy<B>, request: &RequestView<'_>) -> Option<&'a Arc<Route<B>>> {
    match black_box(request_validation::validate_accepting(request, policy.routes.accepted_quirks())) {
        Ok(Destination::Upstream(valid)) => {
            match policy.routes.find(valid.host, &valid.resource.path, request.method) {
                RouteMatch::Matched(route) => Some(route),
                RouteMatch::MethodNotAllowed(_) | RouteMatch::PathRefused(..) | RouteMatch::NotFound => None,
            }
        }
        Ok(Destination::Gateway(_)) | Err(_) => None,
    }
}

/// Searches for the credential, and returns whether there is one.
pub fn find_credential<B>(route: &Route<B>, headers: &HeaderMap) -> bool {
    credential::find(headers, b"/v1/items/42", &route.credential).is_ok_and(|found| found.is_some())
}

/// Returns the decision about a cache hit. Its target is left out: nothing that is measured reads it.
pub fn permitted<B>(route: Arc<Route<B>>, facts: Arc<KeyFacts>) -> Decision<B> {
    let outcome = AuthOutcome::Permitted;
    Decision {
        action: RequestAction::Forward(AuthorizedAs::Anonymous),
        key_check: KeyCheck { facts: Some(facts), source: Some(Source::Cache), ..KeyCheck::of(outcome) },
        target: None,
        body: BodyLength::EMPTY,
        route: Some(route),
        allow: None,
        peer_trust: PeerTrust::Untrusted,
        client_slot: None,
        location: None,
    }
}

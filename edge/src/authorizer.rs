//! Authorization of a request, in this order: validation, route, client address, key.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use gatepost_domain::denial::Denial;
use gatepost_domain::path::PathRules;
use gatepost_domain::permit::RequestFacts;
use gatepost_domain::problem::ErrorCode;
use gatepost_verify::{Source, Verdict, Verifier};
use ipnet::IpNet;
use prometheus::Registry;
use tokio::time::Instant;

use crate::client_ip::{self, PeerTrust};
use crate::credential::{self, CredentialSender};
use crate::decision::{AuthOutcome, AuthorizedAs, Decision, KeyCheck, RequestAction, unavailable_code};
use crate::metrics::Metrics;
use crate::page_origin;
use crate::per_client_limiter::{ClientSlot, PerClientLimiter};
use crate::request_target::RequestTarget;
use crate::request_validation::{self, Destination};
use crate::request_view::{BodyLength, RequestView};
use crate::route::Route;
use crate::route_options::Auth;
use crate::route_table::{RouteMatch, Routes};

/// Configuration of a decision. `B` is attached to each route.
#[derive(Debug)]
pub struct Policy<B> {
    pub routes: Routes<B>,
    /// Networks whose `X-Forwarded-For` is used.
    pub trusted_proxies: Vec<IpNet>,
    /// Limit for a request body on routes that have none of their own.
    pub max_body_bytes: u64,
    /// Cap on requests in flight of one client behind trusted proxies.
    pub max_requests_per_client: usize,
}

/// Makes decisions. Clones share their counts.
#[derive(Debug, Clone)]
pub struct Authorizer {
    verifier: Arc<Verifier>,
    metrics: Arc<Metrics>,
    requests_per_client: PerClientLimiter,
}

/// Result of validation and routing.
enum Routing<'a, B> {
    Found(Routed<'a, B>),
    Decided(Decision<B>),
}

/// A valid request with a route.
struct Routed<'a, B> {
    route: &'a Arc<Route<B>>,
    target: RequestTarget,
    body: BodyLength,
}

/// The client of a request, with its slot if the peer is a trusted proxy.
struct Client {
    address: Option<IpAddr>,
    trust: PeerTrust,
    slot: Option<ClientSlot>,
}

impl Authorizer {
    /// # Errors
    /// If the registry has metrics of an authorizer already.
    pub fn new(verifier: Arc<Verifier>, registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Arc::new(Metrics::register(registry)?);
        Ok(Self { verifier, metrics, requests_per_client: PerClientLimiter::default() })
    }

    /// Decides on a request. On a cache hit of a plain request it allocates nothing and takes no lock; otherwise it
    /// may wait for the store, as long as [`Verifier::check`] does.
    pub async fn authorize<B>(&self, policy: &Policy<B>, request: &RequestView<'_>) -> Decision<B> {
        let Routed { route, target, body } = match route_request(policy, request) {
            Routing::Found(routed) => routed,
            Routing::Decided(decision) => return decision,
        };
        let Some(client) = self.identify_client(policy, request) else {
            let route = Some(Arc::clone(route));
            return Decision { route, ..Decision::reject(ErrorCode::RateLimited, target, body) };
        };
        if !route.networks.permit(client.address) {
            let decision = Decision::reject(ErrorCode::Forbidden, target, body);
            return Decision { route: Some(Arc::clone(route)), peer_trust: client.trust, ..decision };
        }
        let (action, key_check) = self.check_key(route, request, client.address).await;
        let action = match (action, route.respond) {
            (RequestAction::Forward(_), Some(status)) => RequestAction::Respond(status),
            (action, _) => action,
        };
        Decision {
            action,
            key_check,
            target: Some(target),
            body,
            route: Some(Arc::clone(route)),
            allow: None,
            peer_trust: client.trust,
            client_slot: client.slot,
            location: None,
        }
    }

    /// Returns the client, or none if too many of its requests are in flight. Connections of trusted proxies have no
    /// cap for each client, so their requests have one.
    fn identify_client<B>(&self, policy: &Policy<B>, request: &RequestView<'_>) -> Option<Client> {
        let trusted = &policy.trusted_proxies;
        if !request.peer.is_some_and(|peer| client_ip::is_trusted(&peer, trusted)) {
            return Some(Client { address: request.peer, trust: PeerTrust::Untrusted, slot: None });
        }
        let address = client_ip::resolve(request.headers, request.peer, trusted);
        let counted = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let slot = self.requests_per_client.try_acquire(counted, policy.max_requests_per_client);
        if slot.is_none() {
            self.metrics.refused_requests.inc();
            return None;
        }
        Some(Client { address, trust: PeerTrust::Trusted, slot })
    }

    async fn check_key<B>(
        &self,
        route: &Route<B>,
        request: &RequestView<'_>,
        client: Option<IpAddr>,
    ) -> (RequestAction, KeyCheck) {
        if route.auth == Auth::Off {
            return anonymous();
        }
        let credential = match (credential::find(request.headers, request.target, &route.credential), route.auth) {
            (Ok(Some(credential)), _) => credential,
            (Ok(None), Auth::Optional | Auth::Off) => return anonymous(),
            (Ok(None), Auth::Required) => return denied(Denial::Missing),
            (Err(denial), _) => return denied(denial),
        };
        if credential.sender == CredentialSender::Browser && !page_origin::is_of(request.headers, &route.origins) {
            // Another page may have made the browser send its cookie.
            return denied(Denial::OriginNotAllowed);
        }
        let started = Instant::now();
        let facts = RequestFacts { client, origin: page_origin::page_origin(request.headers) };
        let verdict = self.verifier.check(&credential.text, &route.requirement, &facts).await;
        let ended = Instant::now();
        let (action, key_check) = act_on(verdict);
        if let Some(source) = key_check.source {
            self.metrics.record_check(key_check.outcome, source, ended.duration_since(started));
        }
        (action, KeyCheck { ended: Some(ended), ..key_check })
    }
}

/// Validates a request and finds its route.
fn route_request<'a, B>(policy: &'a Policy<B>, request: &RequestView<'_>) -> Routing<'a, B> {
    let validated = match request_validation::validate_accepting(request, policy.routes.accepted_quirks()) {
        Ok(Destination::Upstream(validated)) => validated,
        Ok(Destination::Gateway(body)) => return Routing::Decided(Decision::server_options(body)),
        Err(code) => return Routing::Decided(Decision::invalid(code)),
    };
    let found = policy.routes.find(validated.host, &validated.resource.path, request.method);
    let (resource, body) = (validated.resource, validated.body);
    if let RouteMatch::Matched(route) = found {
        let target = resource.into_target(&route.path_rules);
        if body.exceeds(route.max_body_bytes.unwrap_or(policy.max_body_bytes)) {
            let route = Some(Arc::clone(route));
            return Routing::Decided(Decision { route, ..Decision::reject(ErrorCode::BodyTooLarge, target, body) });
        }
        return Routing::Found(Routed { route, target, body });
    }
    Routing::Decided(reject_unmatched(found, resource.into_target(&PathRules::default()), body))
}

fn reject_unmatched<B>(found: RouteMatch<'_, B>, target: RequestTarget, body: BodyLength) -> Decision<B> {
    match found {
        RouteMatch::PathRefused(code, route) => {
            Decision { route: route.map(Arc::clone), ..Decision::reject(code, target, body) }
        }
        RouteMatch::MethodNotAllowed(route) => {
            let allow = Some(Arc::clone(&route.allow));
            Decision { allow, ..Decision::reject(ErrorCode::MethodNotAllowed, target, body) }
        }
        RouteMatch::Matched(_) | RouteMatch::NotFound => Decision::reject(ErrorCode::NoRoute, target, body),
    }
}

fn anonymous() -> (RequestAction, KeyCheck) {
    (RequestAction::Forward(AuthorizedAs::Anonymous), KeyCheck::of(AuthOutcome::Anonymous))
}

fn denied(denial: Denial) -> (RequestAction, KeyCheck) {
    (RequestAction::Reject(denial.code()), KeyCheck::of(AuthOutcome::Denied(denial)))
}

fn act_on(verdict: Verdict) -> (RequestAction, KeyCheck) {
    match verdict {
        Verdict::Permitted(admission) => {
            let key_check = KeyCheck {
                outcome: AuthOutcome::Permitted,
                facts: Some(admission.facts),
                source: Some(admission.source),
                limit_status: admission.limit_status,
                ended: None,
            };
            (RequestAction::Forward(AuthorizedAs::Key(admission.permit)), key_check)
        }
        Verdict::Denied { denial, facts, source, limit_status } => {
            let outcome = AuthOutcome::Denied(denial);
            let key_check = KeyCheck { outcome, facts, source: Some(source), limit_status, ended: None };
            (RequestAction::Reject(denial.code()), key_check)
        }
        Verdict::Unavailable(unavailable) => {
            let outcome = AuthOutcome::Unavailable(unavailable);
            let key_check = KeyCheck { source: Some(Source::Store), ..KeyCheck::of(outcome) };
            (RequestAction::Reject(unavailable_code(unavailable)), key_check)
        }
    }
}

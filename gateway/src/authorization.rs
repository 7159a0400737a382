//! Whether a request may go on: front, route, credential, verdict.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use gatepost_domain::permit::Denial;
use gatepost_domain::problem::ErrorCode;
use gatepost_verify::Verdict;
use http::HeaderValue;
use pingora::proxy::Session;
use tokio::time::Instant;

use crate::client_ip::PeerTrust;
use crate::context::Context;
use crate::http1_header;
use crate::options::Auth;
use crate::outcome::{AuthOutcome, AuthorizedAs};
use crate::proxy::Proxy;
use crate::request_framing::BodyFraming;
use crate::request_validation::{Destination, RequestTarget};
use crate::route::RouteMatch;
use crate::snapshot::{Route, Snapshot};
use crate::{client_ip, credential, local_reply, request_validation};

/// Who answers a request that nothing is wrong with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandledBy {
    Upstream,
    Gateway,
}

impl Proxy {
    /// Who answers a request, or the problem to answer with.
    pub(crate) async fn authorize(&self, session: &mut Session, context: &mut Context) -> Result<HandledBy, ErrorCode> {
        let snapshot = Arc::clone(&context.snapshot);
        let state = http1_header::finish(session)?;
        let (raw, max_body_bytes) = (session.to_h1_raw(), snapshot.limits.max_body_bytes);
        let validated = match request_validation::validate(session.req_header(), &raw, max_body_bytes)? {
            Destination::Upstream(request) => request,
            Destination::Gateway(body) => {
                if let Some(state) = state {
                    state.set_body(body);
                }
                context.target = Some(RequestTarget::asterisk());
                context.outcome = AuthOutcome::Anonymous;
                return Ok(HandledBy::Gateway);
            }
        };
        let found = snapshot.routes.find(validated.host, &validated.path, &session.req_header().method);
        if let Some(state) = state.filter(|_| validated.body != BodyFraming::EMPTY) {
            state.set_body(validated.body);
        }
        context.target = Some(validated.into_target());
        let route = match found {
            RouteMatch::Matched(route) => {
                context.route = Some(Arc::clone(route));
                route
            }
            RouteMatch::MethodNotAllowed(route) => {
                context.allow = HeaderValue::from_str(&route.allow).ok();
                return Err(ErrorCode::MethodNotAllowed);
            }
            RouteMatch::NotFound => return Err(ErrorCode::NoRoute),
        };
        let peer_ip = context.peer_ip.as_ref().map(|client| client.ip);
        let client = match context.peer_trust {
            PeerTrust::Untrusted => peer_ip,
            PeerTrust::Trusted => {
                let client = client_ip::resolve(&session.req_header().headers, peer_ip, &snapshot.trusted_proxies);
                self.acquire_client_slot(client, &snapshot, context)?;
                client
            }
        };
        self.authenticate(session, context, route, client).await?;
        Ok(HandledBy::Upstream)
    }

    /// A client behind a trusted proxy has no cap on connections, so on requests.
    fn acquire_client_slot(
        &self,
        client: Option<IpAddr>,
        snapshot: &Snapshot,
        context: &mut Context,
    ) -> Result<(), ErrorCode> {
        let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        context.client_slot = self.requests_per_client.try_acquire(client, snapshot.limits.max_requests_per_client);
        if context.client_slot.is_some() {
            return Ok(());
        }
        self.metrics.refused_requests.inc();
        Err(ErrorCode::RateLimited)
    }

    async fn authenticate(
        &self,
        session: &Session,
        context: &mut Context,
        route: &Route,
        client: Option<IpAddr>,
    ) -> Result<(), ErrorCode> {
        if route.auth == Auth::Off {
            return allow_anonymous(context);
        }
        let found = credential::find(&session.req_header().headers, &route.credential);
        let credential = match (found, route.auth) {
            (Ok(Some(credential)), _) => credential,
            (Ok(None), Auth::Optional | Auth::Off) => return allow_anonymous(context),
            (Ok(None), Auth::Required) => return deny(context, Denial::Missing),
            (Err(denial), _) => return deny(context, denial),
        };
        let started = Instant::now();
        let request = client_ip::request_facts(&session.req_header().headers, client);
        let verdict = self.verifier.check(credential, &route.requirement, &request).await;
        self.apply_verdict(verdict, context, started)
    }

    fn apply_verdict(&self, verdict: Verdict, context: &mut Context, started: Instant) -> Result<(), ErrorCode> {
        let result = match verdict {
            Verdict::Permitted(admission) => {
                context.outcome = AuthOutcome::Permitted;
                context.authorized_as = Some(AuthorizedAs::Key(admission.permit));
                context.facts = Some(admission.facts);
                context.source = Some(admission.source);
                context.limit_status = admission.limit_status;
                Ok(())
            }
            Verdict::Denied { denial, facts, source, limit_status } => {
                context.facts = facts;
                context.source = Some(source);
                context.limit_status = limit_status;
                deny(context, denial)
            }
            Verdict::Unavailable(why) => {
                context.outcome = AuthOutcome::Unavailable(why);
                context.source = Some(gatepost_verify::Source::Store);
                Err(local_reply::unavailable_code(why))
            }
        };
        if let Some(source) = context.source {
            self.metrics.record_auth(context.outcome, source, started.elapsed());
        }
        result
    }
}

fn allow_anonymous(context: &mut Context) -> Result<(), ErrorCode> {
    context.outcome = AuthOutcome::Anonymous;
    context.authorized_as = Some(AuthorizedAs::Anonymous);
    Ok(())
}

fn deny(context: &mut Context, denial: Denial) -> Result<(), ErrorCode> {
    context.outcome = AuthOutcome::Denied(denial);
    Err(local_reply::denial_code(denial))
}

//! Whether a request may go on: front, route, credential, verdict.

use std::net::{IpAddr, Ipv4Addr};

use gatepost_domain::permit::Denial;
use gatepost_domain::problem::ErrorCode;
use gatepost_verify::Verdict;
use http::HeaderValue;
use pingora::proxy::Session;
use tokio::time::Instant;

use crate::client::Peer;
use crate::context::{Context, Outcome, Pass};
use crate::front::{Destination, Target};
use crate::message_end::Body;
use crate::options::Auth;
use crate::proxy::Proxy;
use crate::route::{Found, Route};
use crate::watched::{self, RequestLine};
use crate::{client, credential, front, respond};

/// Who answers a request that nothing is wrong with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnsweredBy {
    Upstream,
    Gateway,
}

impl Proxy {
    /// Who answers a request, or the problem to answer with.
    pub(crate) async fn judge(&self, session: &mut Session, context: &mut Context) -> Result<AnsweredBy, ErrorCode> {
        if watched::header_was_read() == RequestLine::Repaired {
            return Err(ErrorCode::BadRequest);
        }
        let front = match front::check(session.req_header(), &session.to_h1_raw(), self.limits.max_body_bytes)? {
            Destination::Upstream(front) => front,
            Destination::Gateway(body) => {
                watched::body_follows(body);
                context.target = Some(Target::of_gateway());
                context.outcome = Outcome::Anonymous;
                return Ok(AnsweredBy::Gateway);
            }
        };
        let found = self.routes.find(front.host, &front.path, &session.req_header().method);
        if front.body != Body::EMPTY {
            watched::body_follows(front.body);
        }
        context.target = Some(front.into_target());
        let route = match found {
            Found::Route(place, route) => {
                context.route = Some(place);
                route
            }
            Found::OtherMethods(route) => {
                context.allow = HeaderValue::from_str(&route.allow).ok();
                return Err(ErrorCode::MethodNotAllowed);
            }
            Found::Nothing => return Err(ErrorCode::NoRoute),
        };
        let peer = context.client.as_ref().map(|client| client.ip);
        let client = match context.peer {
            Peer::Untrusted => peer,
            Peer::Trusted => {
                let client = client::address(&session.req_header().headers, peer, &self.trusted_proxies);
                self.count(client, context)?;
                client
            }
        };
        self.authenticate(session, context, route, client).await?;
        Ok(AnsweredBy::Upstream)
    }

    /// A client behind a trusted proxy has no cap on connections, so on requests.
    fn count(&self, client: Option<IpAddr>, context: &mut Context) -> Result<(), ErrorCode> {
        let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        context.counted = self.of_clients.enter(client, self.limits.max_requests_per_client);
        if context.counted.is_some() {
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
            return pass_anonymous(context);
        }
        let found = credential::find(&session.req_header().headers, &route.credential);
        let credential = match (found, route.auth) {
            (Ok(Some(credential)), _) => credential,
            (Ok(None), Auth::Optional | Auth::Off) => return pass_anonymous(context),
            (Ok(None), Auth::Required) => return deny(context, Denial::Missing),
            (Err(denial), _) => return deny(context, denial),
        };
        let started = Instant::now();
        let request = client::facts(&session.req_header().headers, client);
        let verdict = self.verifier.check(credential, &route.requirement, &request).await;
        self.take(verdict, context, started)
    }

    fn take(&self, verdict: Verdict, context: &mut Context, started: Instant) -> Result<(), ErrorCode> {
        let answer = match verdict {
            Verdict::Permitted(admission) => {
                context.outcome = Outcome::Permitted;
                context.pass = Some(Pass::Key(admission.permit));
                context.facts = Some(admission.facts);
                context.source = Some(admission.source);
                context.reading = admission.reading;
                Ok(())
            }
            Verdict::Denied { denial, facts, source, reading } => {
                context.facts = facts;
                context.source = Some(source);
                context.reading = reading;
                deny(context, denial)
            }
            Verdict::Unavailable(why) => {
                context.outcome = Outcome::Unavailable(why);
                context.source = Some(gatepost_verify::Source::Store);
                Err(respond::unavailable(why))
            }
        };
        if let Some(source) = context.source {
            self.metrics.checked(context.outcome, source, started.elapsed());
        }
        answer
    }
}

fn pass_anonymous(context: &mut Context) -> Result<(), ErrorCode> {
    context.outcome = Outcome::Anonymous;
    context.pass = Some(Pass::Anonymous);
    Ok(())
}

fn deny(context: &mut Context, denial: Denial) -> Result<(), ErrorCode> {
    context.outcome = Outcome::Denied(denial);
    Err(respond::denied(denial))
}

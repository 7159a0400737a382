//! What a gateway knows of one request on its way.

use std::sync::Arc;

use gatepost_domain::permit::{Denial, KeyFacts, Permit};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::token_lease::LimitStatus;
use gatepost_verify::{Source, Unavailable};
use http::HeaderValue;
use tokio::time::Instant;

use crate::client_ip::{PeerIp, PeerTrust};
use crate::in_flight::InFlightGuard;
use crate::per_client_limiter::ClientSlot;
use crate::request_id::RequestId;
use crate::request_validation::RequestTarget;
use crate::upstream_stream::RequestedUpgrade;

/// One for each request.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) started: Instant,
    pub(crate) request_id: RequestId,
    pub(crate) peer_ip: Option<PeerIp>,
    pub(crate) peer_trust: PeerTrust,
    /// Counts the request among those of a client behind a trusted proxy.
    pub(crate) client_slot: Option<ClientSlot>,
    /// What goes upstream, once the front has judged it.
    pub(crate) target: Option<RequestTarget>,
    /// Place of the route in the table.
    pub(crate) route_index: Option<usize>,
    /// Why it may go upstream; without one it does not.
    pub(crate) authorized_as: Option<AuthorizedAs>,
    /// For an answer to a method that no route here takes.
    pub(crate) allow: Option<HeaderValue>,
    pub(crate) facts: Option<Arc<KeyFacts>>,
    pub(crate) source: Option<Source>,
    /// What the client is told of its key's limit.
    pub(crate) limit_status: Option<LimitStatus>,
    pub(crate) outcome: AuthOutcome,
    /// Place of the server among those of its upstream.
    pub(crate) server_index: Option<usize>,
    pub(crate) body_bytes: u64,
    pub(crate) requested_upgrade: RequestedUpgrade,
    /// Why the gateway answers itself.
    pub(crate) error_code: Option<ErrorCode>,
    _in_flight: InFlightGuard,
}

/// Why a request may go upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthorizedAs {
    /// Its key may.
    Key(Permit),
    /// It has none, where none is needed.
    Anonymous,
}

/// How a request ended, as far as authentication goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthOutcome {
    /// It ended before that was asked: a bad request, or no route.
    Rejected,
    /// A valid key.
    Permitted,
    /// No key, where none is needed.
    Anonymous,
    /// No valid key, or one that may not do this.
    Denied(Denial),
    /// It could not be told.
    Unavailable(Unavailable),
}

impl AuthOutcome {
    /// Every label there is, in the order of [`AuthOutcome::index`].
    pub(crate) const LABELS: [&'static str; 5] = ["rejected", "permitted", "anonymous", "denied", "unavailable"];

    /// Its label in metrics.
    pub(crate) fn label(self) -> &'static str {
        Self::LABELS[self.index()]
    }

    pub(crate) fn index(self) -> usize {
        match self {
            AuthOutcome::Rejected => 0,
            AuthOutcome::Permitted => 1,
            AuthOutcome::Anonymous => 2,
            AuthOutcome::Denied(_) => 3,
            AuthOutcome::Unavailable(_) => 4,
        }
    }

    /// Why, for the access log; empty where there is nothing to say.
    fn reason(self) -> Option<&'static str> {
        match self {
            AuthOutcome::Rejected | AuthOutcome::Permitted | AuthOutcome::Anonymous => None,
            AuthOutcome::Denied(denial) => Some(denial.as_str()),
            AuthOutcome::Unavailable(unavailable) => Some(unavailable.as_str()),
        }
    }
}

impl Context {
    /// Why the gateway answers itself, by its verdict or by the problem that it answers.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.outcome.reason().or_else(|| self.error_code.map(ErrorCode::code))
    }

    pub(crate) fn new(request_id: RequestId, in_flight: InFlightGuard) -> Self {
        Self {
            started: Instant::now(),
            request_id,
            peer_ip: None,
            peer_trust: PeerTrust::Untrusted,
            client_slot: None,
            target: None,
            route_index: None,
            authorized_as: None,
            allow: None,
            facts: None,
            source: None,
            limit_status: None,
            outcome: AuthOutcome::Rejected,
            server_index: None,
            body_bytes: 0,
            requested_upgrade: RequestedUpgrade::None,
            error_code: None,
            _in_flight: in_flight,
        }
    }
}

//! What a gateway knows of one request on its way.

use std::sync::Arc;

use gatepost_domain::permit::KeyFacts;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::token_lease::LimitStatus;
use gatepost_verify::Source;
use http::HeaderValue;
use tokio::time::Instant;

use crate::client_ip::{PeerIp, PeerTrust};
use crate::in_flight::InFlightGuard;
use crate::outcome::{AuthOutcome, AuthorizedAs};
use crate::per_client_limiter::ClientSlot;
use crate::request_id::RequestId;
use crate::request_validation::RequestTarget;
use crate::snapshot::{Route, Snapshot};
use crate::upstream::Server;
use crate::upstream_stream::RequestedUpgrade;

/// One for each request.
#[derive(Debug)]
pub(crate) struct Context {
    /// Configuration for this request, whatever a reload changes meanwhile.
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) started: Instant,
    pub(crate) request_id: RequestId,
    pub(crate) peer_ip: Option<PeerIp>,
    pub(crate) peer_trust: PeerTrust,
    /// Counts the request among those of a client behind a trusted proxy.
    pub(crate) client_slot: Option<ClientSlot>,
    /// What goes upstream, once the front has judged it.
    pub(crate) target: Option<RequestTarget>,
    pub(crate) route: Option<Arc<Route>>,
    /// Why it may go upstream; without one it does not.
    pub(crate) authorized_as: Option<AuthorizedAs>,
    /// For an answer to a method that no route here takes.
    pub(crate) allow: Option<HeaderValue>,
    pub(crate) facts: Option<Arc<KeyFacts>>,
    pub(crate) source: Option<Source>,
    /// What the client is told of its key's limit.
    pub(crate) limit_status: Option<LimitStatus>,
    pub(crate) outcome: AuthOutcome,
    pub(crate) server: Option<Arc<Server>>,
    pub(crate) body_bytes: u64,
    pub(crate) requested_upgrade: RequestedUpgrade,
    /// Why the gateway answers itself.
    pub(crate) error_code: Option<ErrorCode>,
    _in_flight: InFlightGuard,
}

impl Context {
    /// Why the gateway answers itself, by its verdict or by the problem that it answers.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.outcome.reason().or_else(|| self.error_code.map(ErrorCode::code))
    }

    pub(crate) fn new(snapshot: Arc<Snapshot>, request_id: RequestId, in_flight: InFlightGuard) -> Self {
        Self {
            snapshot,
            started: Instant::now(),
            request_id,
            peer_ip: None,
            peer_trust: PeerTrust::Untrusted,
            client_slot: None,
            target: None,
            route: None,
            authorized_as: None,
            allow: None,
            facts: None,
            source: None,
            limit_status: None,
            outcome: AuthOutcome::Rejected,
            server: None,
            body_bytes: 0,
            requested_upgrade: RequestedUpgrade::None,
            error_code: None,
            _in_flight: in_flight,
        }
    }
}

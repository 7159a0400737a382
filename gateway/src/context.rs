//! Context of one request, from its header to the end of its response.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::problem::ErrorCode;
use gatepost_domain::token_lease::LimitStatus;
use gatepost_edge::{AuthOutcome, Decision, HttpsRedirect, KeyCheck, RequestAction};
use tokio::time::Instant;

use crate::in_flight::InFlightGuard;
use crate::metrics::UpstreamCounters;
use crate::peer_ip::PeerIp;
use crate::request_id::RequestId;
use crate::snapshot::{Backend, Route, Snapshot};
use crate::tls::{TlsSession, UpstreamMaterial};
use crate::trace::Trace;
use crate::upstream::Server;
use crate::upstream_exchange::RequestedUpgrade;

#[derive(Debug)]
pub(crate) struct Context {
    /// Configuration for this request, whatever a reload changes meanwhile.
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) started: Instant,
    pub(crate) request_id: RequestId,
    pub(crate) peer_ip: Option<PeerIp>,
    /// None on a plain connection.
    pub(crate) tls: Option<Arc<TlsSession>>,
    /// None on a listener that serves requests.
    pub(crate) redirect: Option<Arc<HttpsRedirect>>,
    /// None until the header was read. Only a decision to forward lets a request go upstream.
    pub(crate) decision: Option<Decision<Backend>>,
    /// None before the decision, or if the trace headers pass unchanged.
    pub(crate) trace: Option<Trace>,
    /// Server of the current try.
    pub(crate) server: Option<Arc<Server>>,
    /// TLS of the current try, which its connector finds while a reference to it exists. None for plain HTTP.
    pub(crate) upstream_tls: Option<Arc<UpstreamMaterial>>,
    /// When a server was first chosen.
    pub(crate) upstream_chosen: Option<Instant>,
    /// From then to the header of the response.
    pub(crate) upstream_wait: Option<Duration>,
    pub(crate) body_bytes: u64,
    pub(crate) requested_upgrade: RequestedUpgrade,
    _in_flight: InFlightGuard,
}

impl Context {
    pub(crate) fn new(snapshot: Arc<Snapshot>, request_id: RequestId, in_flight: InFlightGuard) -> Self {
        Self {
            snapshot,
            started: Instant::now(),
            request_id,
            peer_ip: None,
            tls: None,
            redirect: None,
            decision: None,
            trace: None,
            server: None,
            upstream_tls: None,
            upstream_chosen: None,
            upstream_wait: None,
            body_bytes: 0,
            requested_upgrade: RequestedUpgrade::None,
            _in_flight: in_flight,
        }
    }

    pub(crate) fn route(&self) -> Option<&Route> {
        self.decision.as_ref()?.route.as_deref()
    }

    pub(crate) fn upstream_counters(&self) -> Option<&UpstreamCounters> {
        self.route()?.backend.upstream.as_ref().map(|upstream| &upstream.counters)
    }

    /// Returns the time from the choice of a server to the header of its response, or to the end of a request that got
    /// none; none if no server was chosen.
    pub(crate) fn waited_for_upstream(&self, ended: Instant) -> Option<Duration> {
        self.upstream_wait.or_else(|| self.upstream_chosen.map(|chosen| ended.duration_since(chosen)))
    }

    pub(crate) fn key_check(&self) -> Option<&KeyCheck> {
        self.decision.as_ref().map(|decision| &decision.key_check)
    }

    pub(crate) fn outcome(&self) -> AuthOutcome {
        self.key_check().map_or(AuthOutcome::Rejected, |check| check.outcome)
    }

    pub(crate) fn limit_status(&self) -> Option<&LimitStatus> {
        self.key_check()?.limit_status.as_ref()
    }

    /// Returns the cause of a rejection, for the access log: that of the key's check, else the problem's code.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        let decision = self.decision.as_ref()?;
        decision.key_check.outcome.reason().or(match decision.action {
            RequestAction::Reject(code) => Some(ErrorCode::code(code)),
            RequestAction::Forward(_)
            | RequestAction::Respond(_)
            | RequestAction::ServerOptions
            | RequestAction::Redirect => None,
        })
    }
}

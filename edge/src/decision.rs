//! The decision about a request.

use std::sync::Arc;

use gatepost_domain::denial::Denial;
use gatepost_domain::key::Env;
use gatepost_domain::key_facts::KeyFacts;
use gatepost_domain::permit::{EnvRule, Permit};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::token_lease::LimitStatus;
use gatepost_verify::{Source, Unavailable};
use http::StatusCode;
use tokio::time::Instant;

use crate::client_ip::PeerTrust;
use crate::per_client_limiter::ClientSlot;
use crate::request_target::RequestTarget;
use crate::request_view::BodyLength;
use crate::route::Route;

/// Detail of a 403 that the operator has to mend. A key would otherwise be accepted by the routes of other accounts.
const ROUTE_WITHOUT_PROJECT: &str =
    "This route accepts no key: the store has several accounts, so the route's configuration must list its projects";

/// Detail of a 403 to a client in a network that the route does not take requests from.
const FOREIGN_NETWORK: &str = "This route does not accept requests from your address";

/// Response to a request, and all that its log line and the request upstream need. `B` is attached to the route.
#[derive(Debug)]
pub struct Decision<B> {
    pub action: RequestAction,
    pub key_check: KeyCheck,
    /// None if the request is not valid.
    pub target: Option<RequestTarget>,
    /// Length of the body behind the header; empty if the request is not valid.
    pub body: BodyLength,
    pub route: Option<Arc<Route<B>>>,
    /// `Allow` of a 405: the methods of the routes with this host and path. None if no route matters.
    pub allow: Option<Arc<str>>,
    /// Whether the peer may say where the request came from.
    pub peer_trust: PeerTrust,
    /// Counts the request among those in flight of a client behind a trusted proxy, until it is dropped.
    pub client_slot: Option<ClientSlot>,
    /// `Location` of a redirect.
    pub location: Option<Box<str>>,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestAction {
    Forward(AuthorizedAs),
    /// Respond with the status of the route. The request was let through.
    Respond(StatusCode),
    /// Respond to `OPTIONS *`.
    ServerOptions,
    /// Redirect to the location of the decision, for good.
    Redirect,
    Reject(ErrorCode),
}

/// Authorization of a request that goes upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizedAs {
    /// The owner of a key that permits the request.
    Key(Permit),
    /// Nobody, on a route that requires no key.
    Anonymous,
}

/// Result of the check of a request's key.
#[derive(Debug)]
pub struct KeyCheck {
    pub outcome: AuthOutcome,
    /// The key, if one was found.
    pub facts: Option<Arc<KeyFacts>>,
    /// None if no key was checked.
    pub source: Option<Source>,
    /// State of the key's limit, for the client.
    pub limit_status: Option<LimitStatus>,
    /// None if no key was checked.
    pub ended: Option<Instant>,
}

/// Outcome of a request as far as authentication goes: a label of metrics, a field of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthOutcome {
    /// Rejected before its key was looked at: not valid, no route, or too many of its client in flight.
    Rejected,
    /// A key that permits the request.
    Permitted,
    /// No key, where none is required.
    Anonymous,
    /// No valid key, or one that does not permit the request.
    Denied(Denial),
    /// The key could not be checked.
    Unavailable(Unavailable),
}

impl<B> Decision<B> {
    /// Rejects a request that is not valid, also for a fault that a caller finds before it can describe the request.
    pub fn invalid(code: ErrorCode) -> Self {
        Self::without_route(RequestAction::Reject(code), AuthOutcome::Rejected, None, BodyLength::EMPTY)
    }

    /// Rejects a valid request.
    pub(crate) fn reject(code: ErrorCode, target: RequestTarget, body: BodyLength) -> Self {
        Self::without_route(RequestAction::Reject(code), AuthOutcome::Rejected, Some(target), body)
    }

    /// Responds to `OPTIONS *`, with or without a key.
    pub(crate) fn server_options(body: BodyLength) -> Self {
        Self::without_route(RequestAction::ServerOptions, AuthOutcome::Anonymous, Some(RequestTarget::asterisk()), body)
    }

    /// Redirects a valid request, with or without a key.
    pub(crate) fn redirect(location: String, target: RequestTarget, body: BodyLength) -> Self {
        let decision = Self::without_route(RequestAction::Redirect, AuthOutcome::Anonymous, Some(target), body);
        Self { location: Some(location.into()), ..decision }
    }

    fn without_route(
        action: RequestAction,
        outcome: AuthOutcome,
        target: Option<RequestTarget>,
        body: BodyLength,
    ) -> Self {
        Self {
            action,
            key_check: KeyCheck::of(outcome),
            target,
            body,
            route: None,
            allow: None,
            peer_trust: PeerTrust::Untrusted,
            client_slot: None,
            location: None,
        }
    }

    /// Returns the detail of a 403: what the route requires that the client or its key lacks. Only the holder of a valid
    /// key gets to know what the key lacks. None if the problem's title says it all.
    pub fn forbidden_detail(&self) -> Option<&'static str> {
        let denial = match self.key_check.outcome {
            AuthOutcome::Denied(denial) => denial,
            AuthOutcome::Rejected => return Some(FOREIGN_NETWORK),
            AuthOutcome::Permitted | AuthOutcome::Anonymous | AuthOutcome::Unavailable(_) => return None,
        };
        let requirement = &self.route.as_ref()?.requirement;
        match denial {
            Denial::ForeignProject if requirement.projects.is_empty() => Some(ROUTE_WITHOUT_PROJECT),
            Denial::ForeignProject => Some("This route accepts only keys of other projects"),
            Denial::WrongEnv => match requirement.env {
                EnvRule::Only(Env::Live) => Some("This route accepts only live keys"),
                EnvRule::Only(Env::Test) => Some("This route accepts only test keys"),
                EnvRule::Any => None,
            },
            Denial::MissingPermission => Some("The key lacks a permission that this route requires"),
            Denial::Missing
            | Denial::Ambiguous
            | Denial::Malformed
            | Denial::Unknown
            | Denial::Inactive
            | Denial::Expired
            | Denial::ProjectInactive
            | Denial::OriginNotAllowed
            | Denial::AddressNotAllowed
            | Denial::TooManyWrongKeys { .. }
            | Denial::RateLimited
            | Denial::QuotaExceeded(_) => None,
        }
    }
}

impl KeyCheck {
    /// Returns the result without a key.
    pub(crate) fn of(outcome: AuthOutcome) -> Self {
        Self { outcome, facts: None, source: None, limit_status: None, ended: None }
    }
}

impl AuthOutcome {
    /// All labels, in the order of [`AuthOutcome::index`].
    pub const LABELS: [&'static str; 5] = ["rejected", "permitted", "anonymous", "denied", "unavailable"];

    pub fn label(self) -> &'static str {
        Self::LABELS[self.index()]
    }

    pub fn index(self) -> usize {
        match self {
            AuthOutcome::Rejected => 0,
            AuthOutcome::Permitted => 1,
            AuthOutcome::Anonymous => 2,
            AuthOutcome::Denied(_) => 3,
            AuthOutcome::Unavailable(_) => 4,
        }
    }

    /// Returns the cause of a refusal, for the access log.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            AuthOutcome::Rejected | AuthOutcome::Permitted | AuthOutcome::Anonymous => None,
            AuthOutcome::Denied(denial) => Some(denial.as_str()),
            AuthOutcome::Unavailable(unavailable) => Some(unavailable.as_str()),
        }
    }
}

pub(crate) fn unavailable_code(unavailable: Unavailable) -> ErrorCode {
    match unavailable {
        Unavailable::Store => ErrorCode::StoreUnavailable,
        Unavailable::Busy => ErrorCode::Overloaded,
    }
}

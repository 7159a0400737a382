//! What a gateway knows of one request on its way.

use std::sync::Arc;

use gatepost_domain::permit::{Denial, KeyFacts, Permit};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::slice::Reading;
use gatepost_verify::{Source, Unavailable};
use http::HeaderValue;
use tokio::time::Instant;

use crate::client::{Client, Peer};
use crate::client_counts::Counted;
use crate::front::Target;
use crate::in_flight::Ticket;
use crate::request_id::RequestId;
use crate::upstream_stream::Asked;

/// One for each request.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) started: Instant,
    pub(crate) request_id: RequestId,
    pub(crate) client: Option<Client>,
    pub(crate) peer: Peer,
    /// Counts the request among those of a client behind a trusted proxy.
    pub(crate) counted: Option<Counted>,
    /// What goes upstream, once the front has judged it.
    pub(crate) target: Option<Target>,
    /// Place of the route in the table.
    pub(crate) route: Option<usize>,
    /// Why it may go upstream; without one it does not.
    pub(crate) pass: Option<Pass>,
    /// For an answer to a method that no route here takes.
    pub(crate) allow: Option<HeaderValue>,
    pub(crate) facts: Option<Arc<KeyFacts>>,
    pub(crate) source: Option<Source>,
    /// What the client is told of its key's limit.
    pub(crate) reading: Option<Reading>,
    pub(crate) outcome: Outcome,
    /// Place of the server among those of its upstream.
    pub(crate) server: Option<usize>,
    pub(crate) body_bytes: u64,
    pub(crate) asked: Asked,
    /// Why the gateway answers itself.
    pub(crate) refused: Option<ErrorCode>,
    _ticket: Ticket,
}

/// Why a request may go upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Its key may.
    Key(Permit),
    /// It has none, where none is needed.
    Anonymous,
}

/// How a request ended, as far as authentication goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
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

impl Outcome {
    /// Every label there is, in the order of [`Outcome::place`].
    pub(crate) const LABELS: [&'static str; 5] = ["rejected", "permitted", "anonymous", "denied", "unavailable"];

    /// Its label in metrics.
    pub(crate) fn label(self) -> &'static str {
        Self::LABELS[self.place()]
    }

    pub(crate) fn place(self) -> usize {
        match self {
            Outcome::Rejected => 0,
            Outcome::Permitted => 1,
            Outcome::Anonymous => 2,
            Outcome::Denied(_) => 3,
            Outcome::Unavailable(_) => 4,
        }
    }

    /// Why, for the access log; empty where there is nothing to say.
    fn reason(self) -> Option<&'static str> {
        match self {
            Outcome::Rejected | Outcome::Permitted | Outcome::Anonymous => None,
            Outcome::Denied(denial) => Some(denial.as_str()),
            Outcome::Unavailable(unavailable) => Some(unavailable.as_str()),
        }
    }
}

impl Context {
    /// Why the gateway answers itself, by its verdict or by the problem that it answers.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.outcome.reason().or_else(|| self.refused.map(ErrorCode::code))
    }

    pub(crate) fn new(request_id: RequestId, ticket: Ticket) -> Self {
        Self {
            started: Instant::now(),
            request_id,
            client: None,
            peer: Peer::Untrusted,
            counted: None,
            target: None,
            route: None,
            pass: None,
            allow: None,
            facts: None,
            source: None,
            reading: None,
            outcome: Outcome::Rejected,
            server: None,
            body_bytes: 0,
            asked: Asked::Response,
            refused: None,
            _ticket: ticket,
        }
    }
}

//! Verdicts: the results of a check.

use std::sync::Arc;

use gatepost_domain::denial::Denial;
use gatepost_domain::key_facts::KeyFacts;
use gatepost_domain::permit::Permit;
use gatepost_domain::token_lease::LimitStatus;

/// Result of a check.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The request may pass.
    Permitted(Admission),
    /// The request is denied. For the access log it has the facts if a key was found.
    Denied {
        /// Reason.
        denial: Denial,
        /// Facts of the key, if one was found.
        facts: Option<Arc<KeyFacts>>,
        /// Source of the decision.
        source: Source,
        /// Status of the exceeded limit, if that is the reason.
        limit_status: Option<LimitStatus>,
    },
    /// No decision is possible now: 503.
    Unavailable(Unavailable),
}

/// A permitted request.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Proof that the request was checked.
    pub permit: Permit,
    /// Facts of the key.
    pub facts: Arc<KeyFacts>,
    /// Source of the decision.
    pub source: Source,
    /// Status of the key's limit to report to the client, if it has one.
    pub limit_status: Option<LimitStatus>,
}

/// Source of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A cached key.
    Cache,
    /// A cached "not found".
    Negative,
    /// The store.
    Store,
    /// The text of the credential alone.
    Text,
}

impl Source {
    /// Returns the label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Cache => "cache",
            Source::Negative => "negative",
            Source::Store => "store",
            Source::Text => "text",
        }
    }
}

/// Why no decision is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unavailable {
    /// The store does not respond, or its reply cannot be trusted, and no cached entry may be used.
    Store,
    /// Too many fetches are in flight.
    Busy,
}

impl Unavailable {
    /// Returns the label in metrics and in the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Unavailable::Store => "store",
            Unavailable::Busy => "busy",
        }
    }
}

//! What callers of a check see.

use std::sync::Arc;

use gatepost_domain::permit::{Denial, KeyFacts, Permit};
use gatepost_domain::token_lease::LimitStatus;

/// The outcome of a check.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The request may pass.
    Permitted(Admission),
    /// It may not. The facts are there if a key was found, for the access log.
    Denied {
        /// Why.
        denial: Denial,
        /// The key.
        facts: Option<Arc<KeyFacts>>,
        /// Where the answer came from.
        source: Source,
        /// What the client is told of the limit that is used up, if that is why.
        limit_status: Option<LimitStatus>,
    },
    /// Nothing can be said now: 503.
    Unavailable(Unavailable),
}

/// A permitted request.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The proof.
    pub permit: Permit,
    /// Whose request it is.
    pub facts: Arc<KeyFacts>,
    /// Where the answer came from.
    pub source: Source,
    /// What the client is told of the key's limit, if it has one.
    pub limit_status: Option<LimitStatus>,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A cached key.
    Cache,
    /// A cached absence.
    Negative,
    /// The store.
    Store,
    /// The credential's text alone.
    Text,
}

impl Source {
    /// Its label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Cache => "cache",
            Source::Negative => "negative",
            Source::Store => "store",
            Source::Text => "text",
        }
    }
}

/// Why nothing can be said now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unavailable {
    /// The store does not answer, and no cached entry may be used without it.
    Store,
    /// Too many look-ups are in flight.
    Busy,
}

impl Unavailable {
    /// Its label in metrics and in the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Unavailable::Store => "store",
            Unavailable::Busy => "busy",
        }
    }
}

//! Decisions of the limits of a key.

use gatepost_domain::denial::Denial;
use gatepost_domain::token_lease::LimitStatus;

/// What happens to keys with a limit while the store does not respond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutagePolicy {
    /// Requests pass unlimited.
    Open,
    /// Requests get a 503.
    Closed,
    /// Each process enforces the limit on its own.
    Local,
}

/// Decision of the limits of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitDecision {
    /// The request passes and was counted. Has the status to report to the client, if the key has a limit.
    Allowed(Option<LimitStatus>),
    /// A limit is exceeded.
    Exceeded(Denial, LimitStatus),
    /// The store did not respond, or not within 1 s.
    Unavailable,
}

//! Failures of use cases.

use std::borrow::Cow;
use std::time::Duration;

use gatepost_domain::problem::{ErrorCode, Problem};
use gatepost_domain::token_lease::LimitStatus;
use gatepost_store::StoreError;

/// A refusal that the caller sees, or a failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request cannot be done.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// Too many requests: nothing was done. The request may be repeated after this time.
    #[error("too many requests; try again in {} s", .0.as_secs() + 1)]
    Throttled(Duration),
    /// A limit of the key that was checked is used up.
    #[error("{}", .0.detail)]
    LimitExceeded(Problem, LimitStatus),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure {
    /// Returns a refusal with its own detail.
    pub fn refused(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Failure::Refused(Problem::new(code, detail))
    }

    /// Returns the refusal of an invalid request; the detail reads `field: what is wrong`.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::refused(ErrorCode::Validation, detail)
    }

    /// Returns the refusal of a lookup that found nothing while the store recovers: a new master may lack recent changes.
    pub fn store_recovering() -> Self {
        let detail = "the store has just changed its master, which may lack recent changes; it is safe to repeat the \
                      request";
        Failure::refused(ErrorCode::StoreUnavailable, detail)
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Failure::Refused(Problem::from(code))
    }
}

pub type Result<T> = std::result::Result<T, Failure>;

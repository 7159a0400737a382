//! Failures of use cases.

use std::borrow::Cow;
use std::time::Duration;

use gatepost_domain::problem::{ErrorCode, Problem};
use gatepost_domain::token_lease::LimitStatus;
use gatepost_store::StoreError;

/// A refusal that the caller sees, or a failure of the store.
#[derive(Debug)]
pub enum Failure {
    /// The request cannot be done.
    Refused(Problem),
    /// Too many requests: nothing was done. The request may be repeated after this time.
    Throttled(Duration),
    /// A limit of the key that was checked is used up.
    LimitExceeded(Problem, LimitStatus),
    /// The store failed.
    Store(StoreError),
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

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Refused(problem) | Failure::LimitExceeded(problem, _) => f.write_str(&problem.detail),
            Failure::Throttled(wait) => write!(f, "too many requests; try again in {} s", wait.as_secs() + 1),
            Failure::Store(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Failure {}

pub type Result<T> = std::result::Result<T, Failure>;

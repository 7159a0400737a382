//! Why a use case did not do what was asked.

use std::borrow::Cow;
use std::time::Duration;

use gatepost_domain::problem::{ErrorCode, Problem};
use gatepost_domain::token_lease::LimitStatus;
use gatepost_store::StoreError;

/// A refusal that the caller sees, or a failure of the store.
#[derive(Debug)]
pub enum Failure {
    /// What was asked cannot be done.
    Refused(Problem),
    /// It was asked too often: nothing was done. It may be asked again after this long.
    Throttled(Duration),
    /// A key was used too often.
    LimitExceeded(Problem, LimitStatus),
    /// The store did not do it.
    Store(StoreError),
}

impl Failure {
    /// A refusal in its own words.
    pub fn refused(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Failure::Refused(Problem::new(code, detail))
    }

    /// What was sent is not valid: `field: what is wrong`.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::refused(ErrorCode::Validation, detail)
    }

    /// The refusal of what is not found while the store recovers: a new master may lack recent changes.
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

/// What use cases answer.
pub type Result<T> = std::result::Result<T, Failure>;

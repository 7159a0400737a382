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

    /// Combines what is wrong with two parts of a request. A failure that has other reasons than the content of the request
    /// is returned alone.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Failure::Refused(first), Failure::Refused(second)) if is_content(&first) && is_content(&second) => {
                Failure::Refused(first.and(second))
            }
            (Failure::Refused(first), other) if is_content(&first) => other,
            (first, _) => first,
        }
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

fn is_content(problem: &Problem) -> bool {
    matches!(problem.code, ErrorCode::Validation | ErrorCode::WebhookAddressRefused)
}

/// Returns the values of two parts of a request, or all that is wrong with them.
///
/// # Errors
/// All that is wrong with the content of both, or a failure that has other reasons alone.
pub fn both<A, B>(first: Result<A>, second: Result<B>) -> Result<(A, B)> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
        (Err(first), Err(second)) => Err(first.and(second)),
    }
}

/// Returns the values of all parts of a request, or all that is wrong with them.
///
/// # Errors
/// See [`both`].
pub fn all<T, C: Default + Extend<T>>(parts: impl IntoIterator<Item = Result<T>>) -> Result<C> {
    let mut all = Ok(C::default());
    for part in parts {
        all = both(all, part).map(|(mut values, value)| {
            values.extend([value]);
            values
        });
    }
    all
}

/// Returns the value of a part of a request, or the default and what is wrong with the part. [`both`] and [`all`] take that
/// when the other parts are checked as well.
pub fn or_default<T: Default>(part: Result<T>) -> (T, Result<()>) {
    match part {
        Ok(value) => (value, Ok(())),
        Err(failure) => (T::default(), Err(failure)),
    }
}

pub type Result<T> = std::result::Result<T, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_all_that_is_wrong_with_a_request_once() {
        let wrong = |detail: &'static str| Err::<(), _>(Failure::invalid(detail));
        let refused = all::<(), ()>([wrong("a: x"), Ok(()), wrong("b: y"), wrong("a: x")]).unwrap_err();
        assert_eq!(refused.to_string(), "a: x; b: y");
        let Failure::Refused(problem) = refused else { panic!("{refused}") };
        assert_eq!(problem.parts(), ["a: x", "b: y"]);
    }

    #[test]
    fn a_failure_for_another_reason_stands_alone() {
        let missing = || Failure::refused(ErrorCode::NotFound, "there is no such project");
        let wrong = || Failure::invalid("a: x");
        for failure in
            [wrong().and(missing()), missing().and(wrong()), missing().and(Failure::Throttled(Duration::ZERO))]
        {
            assert_eq!(failure.to_string(), missing().to_string());
        }
    }
}

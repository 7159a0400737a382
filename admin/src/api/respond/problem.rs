//! Problems (RFC 9457): all error responses of the admin API are written here.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use gatepost_control_plane::Failure;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::{self, ErrorCode, Problem};
use gatepost_domain::redact::redact_all;
use gatepost_runtime::error_chain;
use gatepost_store::{StoreError, StoreErrorKind};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use super::usage_headers;
use crate::http::request_head::RequestHead;

/// A failure as a response.
#[derive(Debug)]
pub(crate) struct ApiError(Failure);

/// The result of handlers and extractors.
pub(crate) type Result<T> = std::result::Result<T, ApiError>;

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self(code.into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self.0 {
            Failure::Refused(problem) => to_response(problem),
            Failure::Throttled(wait) => throttled_response(wait),
            Failure::LimitExceeded(problem, limit_status) => {
                let mut response = to_response(problem);
                usage_headers::add_limit_exceeded(response.headers_mut(), &limit_status);
                response
            }
            Failure::Store(error) => to_response(from_store_error(&error)),
        }
    }
}

/// Returns the response with a problem. [`complete`] writes its body.
pub(crate) fn to_response(problem: Problem) -> Response {
    let status = problem.code.status();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.extensions_mut().insert(problem);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match status {
        401 => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gatepost-admin\"")),
        503 => headers.insert(RETRY_AFTER, HeaderValue::from_static("1")),
        _ => None,
    };
    response
}

/// Writes the body of a problem, with the id of the request and without the credentials that it presented.
pub(crate) fn complete(mut response: Response, head: &RequestHead) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let detail = redact_all(&problem.detail, head.presented_credentials.iter().map(Secret::expose)).into_owned();
    let problem = Problem::new(problem.code, detail).with_request_id(head.id.as_str());
    *response.body_mut() = Body::from(problem.to_json());
    response
}

fn throttled_response(wait: Duration) -> Response {
    // Rounded up, so that a retry after this time is not throttled again.
    let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
    let detail = format!("too many requests: try again in {seconds} s");
    let mut response = to_response(Problem::new(ErrorCode::RateLimited, detail));
    let seconds = HeaderValue::from_str(&seconds).expect("digits make a header");
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

/// Returns the part of a store failure that clients see; the log has the rest.
fn from_store_error(error: &StoreError) -> Problem {
    match error.kind() {
        StoreErrorKind::Unavailable | StoreErrorKind::WrongStore => {
            tracing::warn!(error = %error_chain(error), "a request failed: the store is unavailable");
            ErrorCode::StoreUnavailable.into()
        }
        StoreErrorKind::Unconfirmed => {
            tracing::warn!(error = %error_chain(error), "a change was not confirmed by enough replicas");
            let detail = "the change was committed, but too few replicas of the store have confirmed it; it is safe to \
                          repeat the request";
            Problem::new(ErrorCode::StoreUnavailable, detail)
        }
        StoreErrorKind::Full => {
            tracing::warn!(error = %error_chain(error), "a change failed: the store is full");
            Problem::new(ErrorCode::StoreUnavailable, "the store takes no writes now: its memory or disk is full")
        }
        StoreErrorKind::Corrupt | StoreErrorKind::Refused => {
            tracing::error!(error = %error_chain(error), "a request failed in the store");
            ErrorCode::Internal.into()
        }
    }
}

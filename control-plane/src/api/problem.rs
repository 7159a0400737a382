//! Errors as answers. Only here does the admin API write them.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use gatepost_domain::key::Secret;
use gatepost_domain::problem::{self, ErrorCode, Problem};
use gatepost_domain::redact::redact_all;
use gatepost_store::{StoreError, StoreErrorKind};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use super::headers;
use crate::failure::Failure;
use crate::request::{self, Request};

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Failure::Refused(problem) => answer(problem),
            Failure::TooFast(wait) => too_fast(wait),
            Failure::TooMany(problem, reading) => {
                let mut response = answer(problem);
                headers::add_refused(response.headers_mut(), &reading);
                response
            }
            Failure::Store(error) => answer(of_store(&error)),
        }
    }
}

/// A problem as an answer.
pub(crate) fn answer(problem: Problem) -> Response {
    let status = problem.code.status();
    let problem = match request::current() {
        Some(request) => of_request(problem, &request),
        None => problem,
    };
    let mut response = Response::new(Body::from(problem.to_json()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
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

/// Adds the request's id, and masks what it presented as a credential.
fn of_request(problem: Problem, request: &Request) -> Problem {
    let detail = redact_all(&problem.detail, request.presented.iter().map(Secret::expose)).into_owned();
    Problem::new(problem.code, detail).with_request_id(request.id.as_str())
}

fn too_fast(wait: Duration) -> Response {
    let mut response = answer(ErrorCode::RateLimited.into());
    // Rounded up: who comes back by then is not told the same again.
    let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
    let seconds = HeaderValue::from_str(&seconds).expect("digits make a header");
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

/// What clients see of a store's failure; the rest stands in the log.
fn of_store(error: &StoreError) -> Problem {
    match error.kind() {
        StoreErrorKind::Unavailable | StoreErrorKind::WrongStore => {
            tracing::warn!(%error, "the store did not answer");
            ErrorCode::StoreUnavailable.into()
        }
        StoreErrorKind::Unconfirmed => {
            tracing::warn!(%error, "a change is not confirmed");
            let detail = "the change was committed, but too few replicas of the store have confirmed it; to repeat the \
                          request is safe";
            Problem::new(ErrorCode::StoreUnavailable, detail)
        }
        StoreErrorKind::Full => {
            tracing::warn!(%error, "the store takes no writes");
            Problem::new(ErrorCode::StoreUnavailable, "the store takes no writes now: its memory or disk is full")
        }
        StoreErrorKind::Corrupt | StoreErrorKind::Refused => {
            tracing::error!(%error, "the store failed");
            ErrorCode::Internal.into()
        }
    }
}

//! Responses of the gateway itself. No other file writes problems to clients.

use bytes::Bytes;
use gatepost_domain::denial::Denial;
use gatepost_domain::problem::{self, ErrorCode, Problem};
use gatepost_edge::{AuthOutcome, Decision};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::context::Context;
use crate::response_headers::{add_request_id, add_sunset_and_rate_limit, apply_edits};

/// Methods of a route that names none.
const ALL_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// Seconds after which a client may retry a 503.
const RETRY_AFTER_S: &str = "1";

/// Responds with a problem. Closes the connection if nobody would read a body that may follow, or if the framing of
/// the next bytes cannot be trusted.
pub(crate) async fn send_problem(session: &mut Session, code: ErrorCode, context: &Context) -> pingora::Result<()> {
    if code.status() == 400 || code.status() > 500 || !session.is_body_empty() {
        session.set_keepalive(None);
    }
    let body = Bytes::from(problem(code, context).with_request_id(context.request_id.as_str()).to_json());
    let mut header = ResponseHeader::build(code.status(), Some(10))?;
    apply_edits(&mut header, context)?;
    header.insert_header(CONTENT_TYPE, problem::CONTENT_TYPE)?;
    header.insert_header(CONTENT_LENGTH, body.len().to_string())?;
    header.insert_header(CACHE_CONTROL, "no-store")?;
    add_request_id(&mut header, context)?;
    if let Some((name, value)) = status_header(code, context) {
        header.insert_header(name, value)?;
    }
    if code.status() != 401 {
        // A 401 does not disclose its cause, so not that the value was replaced either.
        add_sunset_and_rate_limit(&mut header, context)?;
    }
    if code.status() == 429 {
        header.insert_header(RETRY_AFTER, retry_after_s(context).to_string())?;
    }
    if session.req_header().method == Method::HEAD {
        return session.write_response_header(Box::new(header), true).await;
    }
    session.write_response_header(Box::new(header), false).await?;
    session.write_response_body(Some(body), true).await
}

/// Responds with the status of the route, to a request that was let through.
pub(crate) async fn send_status(session: &mut Session, status: StatusCode, context: &Context) -> pingora::Result<()> {
    if !session.is_body_empty() {
        session.set_keepalive(None);
    }
    let mut header = ResponseHeader::build(status, Some(6))?;
    header.insert_header(CACHE_CONTROL, "no-store")?;
    apply_edits(&mut header, context)?;
    // A 204 and a 304 have no length (RFC 9110 sections 8.6 and 15.3.5).
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        header.insert_header(CONTENT_LENGTH, "0")?;
    }
    add_request_id(&mut header, context)?;
    add_sunset_and_rate_limit(&mut header, context)?;
    session.write_response_header(Box::new(header), true).await
}

/// Redirects to the location of the decision. The client repeats its request there, with its body.
pub(crate) async fn send_redirect(session: &mut Session, context: &Context) -> pingora::Result<()> {
    if !session.is_body_empty() {
        session.set_keepalive(None);
    }
    let location = context.decision.as_ref().and_then(|decision| decision.location.as_deref()).unwrap_or_default();
    let mut header = ResponseHeader::build(StatusCode::PERMANENT_REDIRECT, Some(3))?;
    header.insert_header(LOCATION, location)?;
    header.insert_header(CONTENT_LENGTH, "0")?;
    add_request_id(&mut header, context)?;
    session.write_response_header(Box::new(header), true).await
}

/// Responds to `OPTIONS *` with the methods of the server as a whole (RFC 9110 section 9.3.7). Those of a route depend
/// on its path.
pub(crate) async fn send_server_options(session: &mut Session, context: &Context) -> pingora::Result<()> {
    if !session.is_body_empty() {
        session.set_keepalive(None);
    }
    let mut header = ResponseHeader::build(StatusCode::OK, Some(3))?;
    header.insert_header(ALLOW, ALL_METHODS)?;
    header.insert_header(CONTENT_LENGTH, "0")?;
    add_request_id(&mut header, context)?;
    session.write_response_header(Box::new(header), true).await
}

fn problem(code: ErrorCode, context: &Context) -> Problem {
    let decision = context.decision.as_ref().filter(|_| code == ErrorCode::Forbidden);
    match decision.and_then(Decision::forbidden_detail) {
        Some(detail) => Problem::new(code, detail),
        None => Problem::from(code),
    }
}

/// Returns the seconds after which a rate-limited request may pass.
fn retry_after_s(context: &Context) -> u64 {
    match (context.outcome(), context.limit_status()) {
        (AuthOutcome::Denied(Denial::TooManyWrongKeys { retry_after_s }), _) => u64::from(retry_after_s),
        (_, Some(limit_status)) => limit_status.retry_after_s(),
        (_, None) => 1,
    }
}

/// Returns the header that a status requires.
fn status_header(code: ErrorCode, context: &Context) -> Option<(HeaderName, HeaderValue)> {
    match code.status() {
        401 => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gatepost\""))),
        405 => Some((ALLOW, allow(context).unwrap_or(HeaderValue::from_static(ALL_METHODS)))),
        503 => Some((RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S))),
        _ => None,
    }
}

fn allow(context: &Context) -> Option<HeaderValue> {
    HeaderValue::from_str(context.decision.as_ref()?.allow.as_deref()?).ok()
}

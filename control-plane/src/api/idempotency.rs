//! `Idempotency-Key`: a POST that is repeated with the same key is answered the same, and done once.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gatepost_domain::problem::ErrorCode;
use gatepost_store::{ResponseClaim, ResponseClaimToken};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::{authorization, request_body};
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::json;
use crate::request_context;
use crate::stored_response::{IdempotencyRecord, IdempotencySlot, ResponseSnapshot};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Characters of a key.
const MAX_KEY_CHARS: usize = 255;
/// Bytes of an answer that is kept; of a longer one, what its change has kept is told again.
const MAX_RESPONSE_BYTES: usize = 128 * 1024;
/// How long a request with a key may take: shorter than its key is held for it.
const DEADLINE: Duration = Duration::from_secs(90);
/// Headers that a repeated answer has as well.
const STORED_HEADERS: [&str; 5] = ["content-type", "etag", "location", "gatepost-propagated", "gatepost-ignored"];

/// Answers a POST with a key that was answered before as it was, and keeps the answer to one that was not.
pub(super) async fn layer(State(control_plane): State<ControlPlane>, request: Request, next: Next) -> Response {
    let has_key = request.headers().contains_key(IDEMPOTENCY_KEY);
    if request.method() != Method::POST || !has_key || authorization::is_read_only_post(&request) {
        return next.run(request).await;
    }
    handle(&control_plane, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn handle(control_plane: &ControlPlane, request: Request, next: Next) -> Result<Response> {
    let key = parse_key(request.headers())?;
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, control_plane).await?;
    let body = request_body::read_body(body).await?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let fingerprint_text = |body: &str| format!("{} {target}\n{body}", parts.method);
    let raw_request = fingerprint_text(&String::from_utf8_lossy(&body));
    // The same JSON may be written in many ways: members in another order, other spaces.
    let canonical_request =
        json::parse(&body).map_or_else(|_| raw_request.clone(), |json| fingerprint_text(&json.to_string()));
    let slot = control_plane.idempotency_slot(&caller.access_key, &key, &canonical_request);
    let mark = match claim_slot(control_plane, &caller, &slot, &raw_request).await? {
        SlotClaim::First(mark) => mark,
        SlotClaim::Replay(answer) => return Ok(replay(answer)),
    };
    if let Some(request) = request_context::current() {
        request.set_slot(slot.clone());
    }
    let handler = next.run(Request::from_parts(parts, Body::from(body)));
    let response = tokio::time::timeout(DEADLINE, handler).await;
    let response = response.map_err(|_| Failure::from(ErrorCode::Overloaded))?;
    let response = settle_slot(control_plane, &slot, &mark, response).await;
    control_plane.charge_for_length(&caller, response.body().size_hint().exact().unwrap_or_default());
    Ok(response)
}

fn parse_key(headers: &HeaderMap) -> Result<String> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = values.next().and_then(|key| key.to_str().ok()).unwrap_or_default();
    let is_key = (1..=MAX_KEY_CHARS).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_key && values.next().is_none() {
        return Ok(key.to_owned());
    }
    Err(Failure::invalid(format!("Idempotency-Key: must be one value of 1 to {MAX_KEY_CHARS} visible characters")))
}

/// Whether a request begins now or was answered before.
enum SlotClaim {
    First(ResponseClaimToken),
    Replay(ResponseSnapshot),
}

async fn claim_slot(
    control_plane: &ControlPlane,
    caller: &Caller,
    slot: &IdempotencySlot,
    raw_request: &str,
) -> Result<SlotClaim> {
    let existing = match control_plane.store.claim_response(&slot.to_stored_response(None)).await? {
        ResponseClaim::Claimed(mark) => {
            let now = control_plane.clock.uptime();
            if let Some(wait) = control_plane.stored_response_limiter.wait_time(&caller.account, now) {
                control_plane.store.release_response_claim(&mark).await?;
                return Err(Failure::Throttled(wait));
            }
            control_plane.stored_response_limiter.record(caller.account.clone(), now);
            return Ok(SlotClaim::First(mark));
        }
        ResponseClaim::Taken(existing) => existing,
    };
    let record: IdempotencyRecord = serde_json::from_str(existing.expose()).map_err(|error| {
        tracing::error!(%error, "a kept answer cannot be read");
        Failure::from(ErrorCode::Internal)
    })?;
    // Earlier releases kept the digest of what was sent.
    if record.request != slot.request_digest && record.request != control_plane.store.digest(raw_request).to_hex() {
        let detail = "Idempotency-Key: another request has used this key within a day; a new request needs a new key";
        return Err(Failure::refused(ErrorCode::IdempotencyMismatch, detail));
    }
    let in_flight = "Idempotency-Key: the first request with this key has not ended yet; try again";
    record.answer.map(SlotClaim::Replay).ok_or_else(|| Failure::refused(ErrorCode::IdempotencyInFlight, in_flight))
}

fn replay(answer: ResponseSnapshot) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// Keeps the answer to what was done. What was refused, or failed, may be tried again with the same key, unless a
/// change was written and has kept its answer.
async fn settle_slot(
    control_plane: &ControlPlane,
    slot: &IdempotencySlot,
    mark: &ResponseClaimToken,
    response: Response,
) -> Response {
    if !response.status().is_success() {
        warn_if_not_stored(control_plane.store.release_response_claim(mark).await);
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MAX_RESPONSE_BYTES).await.unwrap_or_else(|error| {
        tracing::error!(%error, "an answer that was made could not be read");
        Bytes::new()
    });
    let mut response = Response::from_parts(parts, Body::from(body.clone()));
    super::conditional_requests::add_etag(response.headers_mut(), &body);
    let headers = STORED_HEADERS.iter().filter_map(|name| {
        let value = response.headers().get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    let snapshot = ResponseSnapshot {
        status: response.status().as_u16(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    warn_if_not_stored(control_plane.store.put_response(&slot.to_stored_response(Some(snapshot))).await);
    response
}

/// The answer goes out all the same: what was written has kept one like it.
fn warn_if_not_stored(stored: gatepost_store::Result<()>) {
    if let Err(error) = stored {
        tracing::warn!(%error, "an answer could not be kept for a repeated request");
    }
}

//! `Idempotency-Key`: a POST that is repeated with the same key is processed once, and gets the same response.

mod stored_record;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gatepost_control_plane::{Caller, ControlPlane, Failure, Idempotency};
use gatepost_domain::problem::ErrorCode;
use gatepost_store::{ResponseClaim, ResponseClaimToken};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::authorization;
use crate::api::extract::body;
use crate::api::respond::problem::Result;
use crate::api::state::ApiState;
use crate::http::json;
use gatepost_runtime::error_chain;
use stored_record::{ChangeResponses, ResponseSnapshot, StoredRecord};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks a replayed response.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Maximum length of a key in characters.
const MAX_KEY_CHARS: usize = 255;
/// Maximum size of a stored response in bytes. In place of a longer one, the response that its change
/// stored is replayed.
const MAX_RESPONSE_BYTES: usize = 128 * 1024;
/// Time limit of a request with a key: shorter than the time for which it holds its slot.
const DEADLINE: Duration = Duration::from_secs(90);
/// Headers that are stored and replayed.
const STORED_HEADERS: [&str; 5] = ["content-type", "etag", "location", "gatepost-propagated", "gatepost-ignored"];

/// Replays the stored response to a POST with a known key, and stores the response to one with a new key.
pub(crate) async fn layer(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let has_key = request.headers().contains_key(IDEMPOTENCY_KEY);
    if request.method() != Method::POST || !has_key || authorization::is_read_only_post(&request) {
        return next.run(request).await;
    }
    handle(&state, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn handle(state: &ApiState, request: Request, next: Next) -> Result<Response> {
    let key = parse_key(request.headers())?;
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, state).await?;
    let body = body::read_body(body).await?;
    let control_plane = &state.control_plane;
    let fingerprints = Fingerprints::of(control_plane, &parts, &body);
    let slot = control_plane.idempotency_slot(&caller, &key);
    let token = match claim_slot(control_plane, &caller, &slot, &fingerprints).await? {
        SlotClaim::First(token) => token,
        SlotClaim::Replay(response) => return Ok(replay(response)),
    };
    parts.extensions.insert(Idempotency {
        slot: slot.clone(),
        request_digest: fingerprints.canonical.clone(),
        encoder: Arc::new(ChangeResponses(control_plane.clone())),
    });
    let handler = next.run(Request::from_parts(parts, Body::from(body)));
    let response = tokio::time::timeout(DEADLINE, handler).await;
    let response = response.map_err(|_| Failure::from(ErrorCode::Overloaded))?;
    let response = settle_slot(control_plane, &slot, &fingerprints.canonical, &token, response).await;
    control_plane.charge_for_length(&caller, response.body().size_hint().exact().unwrap_or_default());
    Ok(response)
}

/// Digests of a request, by which a repeated one is recognised.
struct Fingerprints {
    /// Of the request as it was sent: earlier releases stored this one.
    raw: String,
    /// Of the request with its JSON in one form: members in order, without spaces.
    canonical: String,
}

impl Fingerprints {
    fn of(control_plane: &ControlPlane, parts: &http::request::Parts, body: &[u8]) -> Self {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let fingerprint = |body: &str| control_plane.fingerprint(&format!("{} {target}\n{body}", parts.method));
        let raw = fingerprint(&String::from_utf8_lossy(body));
        let canonical = json::parse(body).map_or_else(|_| raw.clone(), |json| fingerprint(&json.to_string()));
        Self { raw, canonical }
    }
}

fn parse_key(headers: &HeaderMap) -> std::result::Result<String, Failure> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = values.next().and_then(|key| key.to_str().ok()).unwrap_or_default();
    let is_key = (1..=MAX_KEY_CHARS).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_key && values.next().is_none() {
        return Ok(key.to_owned());
    }
    Err(Failure::invalid(format!("Idempotency-Key: must be one value of 1 to {MAX_KEY_CHARS} visible characters")))
}

/// The outcome of claiming a slot.
enum SlotClaim {
    First(ResponseClaimToken),
    Replay(ResponseSnapshot),
}

async fn claim_slot(
    control_plane: &ControlPlane,
    caller: &Caller,
    slot: &str,
    fingerprints: &Fingerprints,
) -> std::result::Result<SlotClaim, Failure> {
    let in_flight = StoredRecord::in_flight(&fingerprints.canonical).encode();
    let existing = match control_plane.claim_response(caller, slot, in_flight).await? {
        ResponseClaim::Claimed(token) => return Ok(SlotClaim::First(token)),
        ResponseClaim::Taken(existing) => existing,
    };
    let record = StoredRecord::decode(&existing).map_err(|error| {
        tracing::error!(error = %error_chain(&error), "reading a stored response failed");
        Failure::from(ErrorCode::Internal)
    })?;
    if record.request != fingerprints.canonical && record.request != fingerprints.raw {
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

/// Stores the response to a request that succeeded. A request that failed may be tried again with the same key, unless a
/// change was written and has stored its response.
async fn settle_slot(
    control_plane: &ControlPlane,
    slot: &str,
    request_digest: &str,
    token: &ResponseClaimToken,
    response: Response,
) -> Response {
    if !response.status().is_success() {
        warn_if_not_stored(control_plane.release_response_claim(token).await);
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MAX_RESPONSE_BYTES).await.unwrap_or_else(|error| {
        tracing::error!(error = %error_chain(&error), "reading our own response failed");
        Bytes::new()
    });
    let response = Response::from_parts(parts, Body::from(body.clone()));
    let headers = STORED_HEADERS.iter().filter_map(|name| {
        let value = response.headers().get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    let snapshot = ResponseSnapshot {
        status: response.status().as_u16(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let record = StoredRecord::answered(request_digest, snapshot).encode();
    warn_if_not_stored(control_plane.store_response(slot, record).await);
    response
}

/// The response is sent nevertheless: a change that was written has stored one like it.
fn warn_if_not_stored(stored: std::result::Result<(), Failure>) {
    if let Err(error) = stored {
        tracing::warn!(error = %error_chain(&error), "storing a response for repeated requests failed");
    }
}

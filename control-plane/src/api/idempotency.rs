//! `Idempotency-Key`: a POST that is repeated with the same key is answered the same, and done once.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gatepost_domain::problem::ErrorCode;
use gatepost_store::{ReceiptClaim, ReceiptMark};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::{admission, body};
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::json;
use crate::kept::{Kept, KeptAnswer, Slot};
use crate::request;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Characters of a key.
const MAX_KEY_CHARS: usize = 255;
/// Bytes of an answer that is kept; of a longer one, what its change has kept is told again.
const MAX_ANSWER_BYTES: usize = 128 * 1024;
/// How long a request with a key may take: shorter than its key is held for it.
const DEADLINE: Duration = Duration::from_secs(90);
/// Headers that a repeated answer has as well.
const KEPT_HEADERS: [&str; 5] = ["content-type", "etag", "location", "gatepost-propagated", "gatepost-ignored"];

/// Answers a POST with a key that was answered before as it was, and keeps the answer to one that was not.
pub(super) async fn once(State(control_plane): State<ControlPlane>, request: Request, next: Next) -> Response {
    let has_key = request.headers().contains_key(IDEMPOTENCY_KEY);
    if request.method() != Method::POST || !has_key || admission::only_reads(&request) {
        return next.run(request).await;
    }
    answer(&control_plane, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(control_plane: &ControlPlane, request: Request, next: Next) -> Result<Response> {
    let key = key(request.headers())?;
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, control_plane).await?;
    let body = body::read(body).await?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let asked = |body: &str| format!("{} {target}\n{body}", parts.method);
    let sent = asked(&String::from_utf8_lossy(&body));
    // The same JSON may be written in many ways: members in another order, other spaces.
    let meant = json::parse(&body).map_or_else(|_| sent.clone(), |json| asked(&json.to_string()));
    let slot = control_plane.slot(&caller.access_key, &key, &meant);
    let mark = match begin(control_plane, &caller, &slot, &sent).await? {
        Begun::Now(mark) => mark,
        Begun::Before(answer) => return Ok(repeated(answer)),
    };
    if let Some(request) = request::current() {
        request.keep_answer(slot.clone());
    }
    let answering = next.run(Request::from_parts(parts, Body::from(body)));
    let response = tokio::time::timeout(DEADLINE, answering).await;
    let response = response.map_err(|_| Failure::from(ErrorCode::Overloaded))?;
    let response = end(control_plane, &slot, &mark, response).await;
    control_plane.spend_for_length(&caller, response.body().size_hint().exact().unwrap_or_default());
    Ok(response)
}

fn key(headers: &HeaderMap) -> Result<String> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = given.next().and_then(|key| key.to_str().ok()).unwrap_or_default();
    let is_key = (1..=MAX_KEY_CHARS).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_key && given.next().is_none() {
        return Ok(key.to_owned());
    }
    Err(Failure::invalid(format!("Idempotency-Key: must be one value of 1 to {MAX_KEY_CHARS} visible characters")))
}

/// Whether a request begins now or was answered before.
enum Begun {
    Now(ReceiptMark),
    Before(KeptAnswer),
}

async fn begin(control_plane: &ControlPlane, caller: &Caller, slot: &Slot, sent: &str) -> Result<Begun> {
    let standing = match control_plane.store.claim_receipt(&slot.receipt(None)).await? {
        ReceiptClaim::Mine(mark) => {
            let now = control_plane.clock.uptime();
            if let Some(wait) = control_plane.kept_answers.wait(&caller.account, now) {
                control_plane.store.drop_receipt(&mark).await?;
                return Err(Failure::TooFast(wait));
            }
            control_plane.kept_answers.spend(caller.account.clone(), now);
            return Ok(Begun::Now(mark));
        }
        ReceiptClaim::Taken(standing) => standing,
    };
    let kept: Kept = serde_json::from_str(standing.expose()).map_err(|error| {
        tracing::error!(%error, "a kept answer cannot be read");
        Failure::from(ErrorCode::Internal)
    })?;
    // Earlier releases kept the digest of what was sent.
    if kept.request != slot.request && kept.request != control_plane.store.digest(sent).to_hex() {
        let detail = "Idempotency-Key: another request has used this key within a day; a new request needs a new key";
        return Err(Failure::refused(ErrorCode::IdempotencyMismatch, detail));
    }
    let in_flight = "Idempotency-Key: the first request with this key has not ended yet; try again";
    kept.answer.map(Begun::Before).ok_or_else(|| Failure::refused(ErrorCode::IdempotencyInFlight, in_flight))
}

fn repeated(answer: KeptAnswer) -> Response {
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
async fn end(control_plane: &ControlPlane, slot: &Slot, mark: &ReceiptMark, response: Response) -> Response {
    if !response.status().is_success() {
        told_if_lost(control_plane.store.drop_receipt(mark).await);
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MAX_ANSWER_BYTES).await.unwrap_or_else(|error| {
        tracing::error!(%error, "an answer that was made could not be read");
        Bytes::new()
    });
    let mut response = Response::from_parts(parts, Body::from(body.clone()));
    super::habits::add_etag(response.headers_mut(), &body);
    let headers = KEPT_HEADERS.iter().filter_map(|name| {
        let value = response.headers().get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    let answer = KeptAnswer {
        status: response.status().as_u16(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    told_if_lost(control_plane.store.put_receipt(&slot.receipt(Some(answer))).await);
    response
}

/// The answer goes out all the same: what was written has kept one like it.
fn told_if_lost(kept: gatepost_store::Result<()>) {
    if let Err(error) = kept {
        tracing::warn!(%error, "an answer could not be kept for a repeated request");
    }
}

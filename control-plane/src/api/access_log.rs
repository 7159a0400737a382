//! One line and one set of metrics for each admin request. Paths hold keys, so only routes are written.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use gatepost_domain::base62;
use gatepost_domain::key::Secret;
use gatepost_domain::redact::redact_all;
use http::{HeaderMap, HeaderName, HeaderValue};
use rand::RngExt;
use tokio::time::Instant;

use super::{conditional_requests, credentials, prefer};
use crate::ControlPlane;
use crate::request_context;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Digits of a request id: 64 bits and a bit.
const ID_DIGITS: usize = 22;
/// The status in the line of a request whose client did not wait for the answer.
const CLIENT_GONE: u16 = 499;

/// Characters of an id that a client may give.
const MAX_ID_CHARS: usize = 128;

/// Gives a request its id, unless the client has, and writes its line when it has ended.
pub(super) async fn layer(State(control_plane): State<ControlPlane>, request: Request, next: Next) -> Response {
    let presented = credentials::presented_credentials(&request);
    let id = client_request_id(request.headers(), &presented).unwrap_or_else(generate_request_id);
    let unknown_members =
        prefer::unknown_members_preference(request.headers()).unwrap_or(control_plane.unknown_members);
    let condition = conditional_requests::parse_if_match(&request);
    let context =
        request_context::RequestContext::new(id.clone(), presented, address(&request), condition, unknown_members);
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let method = method_label(request.method());
    let started = Instant::now();
    let mut line = AccessLogEntry { control_plane, id: id.clone(), method, matched, started, status: CLIENT_GONE };
    let mut response = request_context::scope(context, next.run(request)).await;
    line.status = response.status().as_u16();
    drop(line);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

/// The client's own id, if it can stand in a log as it is: neither a credential nor with one in it.
fn client_request_id(headers: &HeaderMap, presented: &[Secret]) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_sane = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    let is_safe = redact_all(id, presented.iter().map(Secret::expose)) == id;
    ((1..=MAX_ID_CHARS).contains(&id.len()) && id.bytes().all(is_sane) && is_safe).then(|| id.to_owned())
}

/// What is told of a request when it has ended, also if its client hung up before.
struct AccessLogEntry {
    control_plane: ControlPlane,
    id: String,
    method: &'static str,
    matched: Option<MatchedPath>,
    started: Instant,
    status: u16,
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        let route = self.matched.as_ref().map_or("none", MatchedPath::as_str);
        let (method, status, took) = (self.method, self.status, self.started.elapsed());
        self.control_plane.metrics.observe_request(route, method, status, took);
        let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(target: "gatepost::admin", request_id = self.id, method, route, status, duration_us);
    }
}

/// Methods are labels of metrics, so a client must not be able to make up new ones.
pub(super) fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn generate_request_id() -> String {
    let mut rng = gatepost_store::os_rng();
    let mut id = "req_".to_owned();
    for _ in 0..ID_DIGITS / 11 {
        base62::push_number(&mut id, rng.random_range(0..=u64::MAX), 11);
    }
    id
}

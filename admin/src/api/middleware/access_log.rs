//! Access log, metrics and id of each request. Paths contain keys, so only routes are logged.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use gatepost_control_plane::MemberPolicy;
use gatepost_domain::base62;
use gatepost_domain::key::Secret;
use gatepost_domain::redact::redact_all;
use http::{HeaderMap, HeaderName, HeaderValue};
use rand::RngExt;
use tokio::time::Instant;

use crate::api::extract::credentials;
use crate::api::prefer;
use crate::api::respond::problem;
use crate::api::state::ApiState;
use crate::http::request_head::RequestHead;
use crate::metrics::{Metrics, method_label};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Base-62 digits of a request id: two numbers of 64 bits.
const ID_DIGITS: usize = 22;
/// The logged status if the client closed the connection before the response.
const CLIENT_GONE: u16 = 499;

/// Maximum length of a client-supplied request id, in characters.
const MAX_ID_CHARS: usize = 128;

/// Assigns a request id, unless the client sent one, and logs the request when it has ended.
pub(crate) async fn layer(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let presented = credentials::presented_credentials(&request);
    let id = client_request_id(request.headers(), &presented).unwrap_or_else(generate_request_id);
    let handling = prefer::unknown_members_preference(request.headers()).unwrap_or(state.unknown_members);
    let head = RequestHead {
        id: id.clone(),
        presented_credentials: presented.into(),
        address: address(&request),
        members: MemberPolicy::new(handling),
    };
    request.extensions_mut().insert(head.clone());
    let mut line = AccessLogEntry {
        metrics: state.metrics,
        id: id.clone(),
        method: method_label(request.method()),
        matched: request.extensions().get::<MatchedPath>().cloned(),
        started: Instant::now(),
        status: CLIENT_GONE,
    };
    let mut response = problem::complete(next.run(request).await, &head);
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

/// Returns the client's own id if it is safe to log: it is not a credential and contains none.
fn client_request_id(headers: &HeaderMap, presented: &[Secret]) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_sane = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    let is_safe = redact_all(id, presented.iter().map(Secret::expose)) == id;
    ((1..=MAX_ID_CHARS).contains(&id.len()) && id.bytes().all(is_sane) && is_safe).then(|| id.to_owned())
}

/// The log line and the metrics of a request, written on drop: also if the client closed the connection before.
struct AccessLogEntry {
    metrics: Arc<Metrics>,
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
        self.metrics.observe_request(route, method, status, took);
        let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(target: "gatepost::admin", request_id = self.id, method, route, status, duration_us);
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

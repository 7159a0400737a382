//! One line and one set of metrics for each admin request. Paths hold keys, so only routes are written.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use gatepost_domain::base62;
use http::HeaderValue;
use rand::RngExt;
use tokio::time::Instant;

use crate::ControlPlane;

/// Digits of a request id: 64 bits and a bit.
const ID_DIGITS: usize = 22;

tokio::task_local! {
    static REQUEST_ID: String;
}

/// The id of the request that is being answered.
pub(super) fn request_id() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok()
}

/// Gives a request its id, and writes its line when it has ended.
pub(super) async fn requests(State(control_plane): State<ControlPlane>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = new_id();
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    let mut response = REQUEST_ID.scope(id.clone(), next.run(request)).await;
    let (status, took) = (response.status().as_u16(), started.elapsed());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    control_plane.metrics.ended(route, known(&method), status, took);
    let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(target: "gatepost::admin", request_id = id, method = known(&method), route, status, duration_us);
    response
}

/// Methods are labels of metrics, so a client must not be able to make up new ones.
fn known(method: &http::Method) -> &'static str {
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

fn new_id() -> String {
    let mut rng = gatepost_store::os_rng();
    let mut id = "req_".to_owned();
    for _ in 0..ID_DIGITS / 11 {
        base62::push_number(&mut id, rng.random_range(0..=u64::MAX), 11);
    }
    id
}

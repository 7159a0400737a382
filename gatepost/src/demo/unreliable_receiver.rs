//! Sample webhook receiver that fails now and then, so that the dashboard has failed attempts to show.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;

use super::server;

/// One request out of so many fails.
const FAILS_ONE_IN: u64 = 3;

pub(crate) async fn start() -> std::io::Result<SocketAddr> {
    let received = Arc::new(AtomicU64::new(0));
    server::start(move |_| respond(received.fetch_add(1, Ordering::Relaxed))).await
}

fn respond(number: u64) -> Response<Full<Bytes>> {
    let (status, body) = match number % FAILS_ONE_IN {
        1 => (StatusCode::SERVICE_UNAVAILABLE, "the database is busy"),
        _ => (StatusCode::OK, "ok"),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
    response
}

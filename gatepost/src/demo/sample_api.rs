//! Sample API behind the gateway, which returns the request as it received it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use super::server;

pub(crate) async fn start() -> std::io::Result<SocketAddr> {
    server::start(|request| echo(&request)).await
}

fn echo(request: &Request<Bytes>) -> Response<Full<Bytes>> {
    let headers: Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    let seen = json!({
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "headers": headers,
    });
    let mut response = Response::new(Full::from(seen.to_string()));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

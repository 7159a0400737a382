//! `/`: name and version of the server.

use axum::Json;
use http::header::ALLOW;
use http::{HeaderName, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

/// Name and version of the server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Welcome {
    /// A greeting.
    message: &'static str,
    /// Version of the server.
    version: &'static str,
    /// Path of the OpenAPI document.
    openapi: &'static str,
}

/// Returns the name and version of the server. Requires no access key.
#[utoipa::path(get, path = "/", operation_id = "getWelcome", tag = "root", security(()), responses((status = 200, body = Welcome)))]
pub(crate) async fn welcome() -> Json<Welcome> {
    Json(Welcome { message: "Gatepost admin API", version: env!("CARGO_PKG_VERSION"), openapi: "/openapi.json" })
}

/// Responds to OPTIONS, with which proxies check whether the server is up.
pub(crate) async fn options() -> (StatusCode, [(HeaderName, &'static str); 1]) {
    (StatusCode::NO_CONTENT, [(ALLOW, "GET, HEAD, OPTIONS")])
}

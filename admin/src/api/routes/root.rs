//! `/`: the name and the version of the program.

use axum::Json;
use http::header::ALLOW;
use http::{HeaderName, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

/// What answers here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Welcome {
    /// A greeting.
    message: &'static str,
    /// The program's version.
    version: &'static str,
    /// Where the OpenAPI document is.
    openapi: &'static str,
}

/// Tells what answers here. No access key is needed.
#[utoipa::path(get, path = "/", operation_id = "getWelcome", tag = "root", security(()), responses((status = 200, body = Welcome)))]
pub(crate) async fn welcome() -> Json<Welcome> {
    Json(Welcome { message: "Gatepost admin API", version: env!("CARGO_PKG_VERSION"), openapi: "/openapi.json" })
}

/// Responds to OPTIONS, with which proxies check whether the server is up.
pub(crate) async fn options() -> (StatusCode, [(HeaderName, &'static str); 1]) {
    (StatusCode::NO_CONTENT, [(ALLOW, "GET, HEAD, OPTIONS")])
}

//! `/`: name and version of the server.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{ACCEPT, ALLOW};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::state::ApiState;
use crate::dashboard::root::ROOT;

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

/// Returns the name and version of the server, or sends a browser to the dashboard. Requires no access key.
#[utoipa::path(get, path = "/", operation_id = "getWelcome", tag = "root", security(()), responses((status = 200, body = Welcome), (status = 303, description = "The dashboard, for a browser")))]
pub(crate) async fn welcome(State(state): State<ApiState>, headers: HeaderMap) -> Response {
    if state.has_dashboard && prefers_html(&headers) {
        return Redirect::to(ROOT).into_response();
    }
    let welcome =
        Welcome { message: "Gatepost admin API", version: env!("CARGO_PKG_VERSION"), openapi: "/openapi.json" };
    Json(welcome).into_response()
}

/// Returns whether a client names HTML, and no JSON before it.
fn prefers_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match (accepted.find("text/html"), accepted.find("json")) {
        (Some(html), Some(json)) => html < json,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Responds to OPTIONS, with which proxies check whether the server is up.
pub(crate) async fn options() -> (StatusCode, [(HeaderName, &'static str); 1]) {
    (StatusCode::NO_CONTENT, [(ALLOW, "GET, HEAD, OPTIONS")])
}

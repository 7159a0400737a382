//! `/docs`: a page to browse the OpenAPI document. All its files are embedded in the binary.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gatepost_domain::problem::ErrorCode;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue};
use http::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use utoipa_swagger_ui::Config;

use crate::api::respond::problem;
use crate::api::state::ApiState;

/// Policy that allows scripts, styles and requests of this server only, nothing inline, and no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const INDEX: &str = include_str!("docs/index.html");
const START: &str = include_str!("docs/start.js");

pub(crate) fn routes() -> Router<ApiState> {
    Router::new()
        .route(
            "/docs",
            get(|| async { asset_response("text/html; charset=utf-8", Bytes::from_static(INDEX.as_bytes())) }),
        )
        .route(
            "/docs/start.js",
            get(|| async { asset_response("text/javascript", Bytes::from_static(START.as_bytes())) }),
        )
        .route("/docs/{file}", get(asset))
}

async fn asset(Path(file): Path<String>) -> Response {
    let Ok(Some(found)) = utoipa_swagger_ui::serve(&file, Arc::new(Config::new(["/openapi.json"]))) else {
        return problem::to_response(ErrorCode::NotFound.into());
    };
    let mut response = asset_response(&found.content_type, into_bytes(found.bytes));
    if found.gzpipped {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Converts an asset without copying data that is embedded in the binary.
fn into_bytes(bytes: Cow<'static, [u8]>) -> Bytes {
    match bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    }
}

fn asset_response(content_type: &str, bytes: Bytes) -> Response {
    let fixed = |name: HeaderName, value: &'static str| (name, HeaderValue::from_static(value));
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_str(content_type).unwrap_or(HeaderValue::from_static("application/octet-stream")),
        ),
        fixed(CONTENT_SECURITY_POLICY, POLICY),
        fixed(CACHE_CONTROL, "no-cache"),
        fixed(X_CONTENT_TYPE_OPTIONS, "nosniff"),
        fixed(REFERRER_POLICY, "no-referrer"),
    ];
    (headers, bytes).into_response()
}

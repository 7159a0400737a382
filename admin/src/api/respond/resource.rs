//! Responses that show one resource.

use axum::Json;
use axum::response::{IntoResponse, Response};
use gatepost_domain::partition::Position;
use http::header::ETAG;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

/// A resource as the change at a position wrote it. Its version is the ETag.
pub(crate) struct ResourceResponse<B> {
    status: StatusCode,
    headers: HeaderMap,
    position: Position,
    body: B,
}

impl<B> ResourceResponse<B> {
    pub(crate) fn new(position: Position, body: B) -> Self {
        Self { status: StatusCode::OK, headers: HeaderMap::new(), position, body }
    }

    pub(crate) fn created(self) -> Self {
        Self { status: StatusCode::CREATED, ..self }
    }

    pub(crate) fn with_headers(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }
}

impl<B: Serialize> IntoResponse for ResourceResponse<B> {
    fn into_response(self) -> Response {
        let tag =
            HeaderValue::from_str(&format!("\"{}\"", self.position.version)).expect("digits and quotes make a header");
        (self.status, self.headers, [(ETAG, tag)], Json(self.body)).into_response()
    }
}

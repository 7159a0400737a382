//! Responses while the store recovers: "not found" is not reliable then.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gatepost_control_plane::Failure;
use gatepost_store::Recovery;
use http::StatusCode;

use crate::api::respond::problem::ApiError;
use crate::api::state::ApiState;

/// Responds 503 instead of 404 while changes that a new master of Redis lacks may be replayed: a client that
/// believes a key is deleted would not revoke it again.
pub(crate) async fn layer(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match (response.status(), state.control_plane.recovery()) {
        (StatusCode::NOT_FOUND, Recovery::InProgress) => ApiError::from(Failure::store_recovering()).into_response(),
        _ => response,
    }
}

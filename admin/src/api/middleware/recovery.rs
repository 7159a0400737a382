//! That a resource is not there is an answer only while the store has lost nothing.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gatepost_control_plane::Failure;
use gatepost_store::Recovery;
use http::StatusCode;

use crate::api::respond::problem::ApiError;
use crate::api::state::ApiState;

/// Answers 503 instead of 404 while what a new master of Redis has lost may come back: a client that believed a
/// key to be gone would not shut it off again.
pub(crate) async fn layer(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match (response.status(), state.control_plane.recovery()) {
        (StatusCode::NOT_FOUND, Recovery::InProgress) => ApiError::from(Failure::store_recovering()).into_response(),
        _ => response,
    }
}

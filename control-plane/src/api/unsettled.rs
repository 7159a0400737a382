//! That a resource is not there is an answer only while the store has lost nothing.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use gatepost_domain::problem::{ErrorCode, Problem};
use gatepost_store::Recovery;
use http::StatusCode;

use super::problem;
use crate::ControlPlane;

/// Answers 503 instead of 404 while what a new master of Redis has lost may come back: a client that believed a
/// key to be gone would not shut it off again.
pub(super) async fn layer(State(control_plane): State<ControlPlane>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match (response.status(), control_plane.store.recovery()) {
        (StatusCode::NOT_FOUND, Recovery::InProgress) => problem::to_response(recovery_problem()),
        _ => response,
    }
}

/// What is told of whatever is not there then.
pub(crate) fn recovery_problem() -> Problem {
    let detail = "the store has just changed its master, which may lack what was made before; to repeat the request \
                  is safe";
    Problem::new(ErrorCode::StoreUnavailable, detail)
}

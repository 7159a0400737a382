//! Authorization before the body is read, so that a caller without permission cannot make the server wait for one.

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gatepost_control_plane::Caller;
use http::Method;

use crate::api::respond::problem::Result;
use crate::api::state::ApiState;

/// The access that an operation requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequiredAccess {
    Any,
    /// An access key whose role may write.
    Write,
    /// An access key of an admin.
    Admin,
}

/// Authenticates the caller of a request that may have a body, and checks its role.
pub(crate) async fn layer(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let Some(required) = required_access(&request) else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    match authorize(&state, &mut parts, required).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(failure) => failure.into_response(),
    }
}

async fn authorize(state: &ApiState, parts: &mut http::request::Parts, required: RequiredAccess) -> Result<()> {
    let caller = Caller::from_request_parts(parts, state).await?;
    match required {
        RequiredAccess::Any => {}
        RequiredAccess::Write => caller.require_write()?,
        RequiredAccess::Admin => caller.require_admin()?,
    }
    parts.extensions.insert(caller);
    Ok(())
}

/// Routes with a POST that changes nothing.
const READ_ONLY_POSTS: [&str; 2] = ["/api-keys/search", "/api-keys/explain"];

/// Returns whether a POST changes nothing, and so needs no idempotency key.
pub(crate) fn is_read_only_post(request: &Request) -> bool {
    request.extensions().get::<MatchedPath>().is_some_and(|route| is_read_only(route.as_str()))
}

/// Returns whether the POST of a route changes nothing.
pub(crate) fn is_read_only(route: &str) -> bool {
    READ_ONLY_POSTS.contains(&route)
}

/// Returns the access that a request requires; none for requests without a body and for unknown paths.
fn required_access(request: &Request) -> Option<RequiredAccess> {
    if !matches!(*request.method(), Method::POST | Method::PATCH | Method::DELETE | Method::PUT) {
        return None;
    }
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    Some(match route.split('/').nth(1).unwrap_or_default() {
        "accounts" | "access-keys" => RequiredAccess::Admin,
        _ if route.contains("/auth/") || is_read_only_post(request) => RequiredAccess::Any,
        _ => RequiredAccess::Write,
    })
}

//! Who may make a change is judged before its body is read: whoever may not cannot let the server wait for one.

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gatepost_control_plane::Caller;
use http::Method;

use crate::api::respond::problem::Result;
use crate::api::state::ApiState;

/// What an operation asks of its caller's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequiredAccess {
    /// Any access key.
    Any,
    /// One that may write.
    Write,
    /// One that may administer.
    Admin,
}

/// Finds the caller of a request that may have a body, and judges its role.
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

/// Routes that take a POST and change nothing.
const READ_ONLY_POSTS: [&str; 1] = ["/api-keys/search"];

/// Whether a request takes a POST and changes nothing: there is nothing to be done once only.
pub(crate) fn is_read_only_post(request: &Request) -> bool {
    request.extensions().get::<MatchedPath>().is_some_and(|route| READ_ONLY_POSTS.contains(&route.as_str()))
}

/// None for what has no body, and for paths that do not exist.
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

//! Who may make a change is judged before its body is read: whoever may not cannot let the server wait for one.

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Method;

use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::Result;

/// What an operation asks of its caller's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Any access key.
    AnyRole,
    /// One that may write.
    ToWrite,
    /// One that may administer.
    ToAdminister,
}

/// Finds the caller of a request that may have a body, and judges its role.
pub(super) async fn judge(State(control_plane): State<ControlPlane>, request: Request, next: Next) -> Response {
    let Some(needs) = needs(&request) else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    match admit(&control_plane, &mut parts, needs).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(failure) => failure.into_response(),
    }
}

async fn admit(control_plane: &ControlPlane, parts: &mut http::request::Parts, needs: Needs) -> Result<()> {
    let caller = Caller::from_request_parts(parts, control_plane).await?;
    match needs {
        Needs::AnyRole => {}
        Needs::ToWrite => caller.may_write()?,
        Needs::ToAdminister => caller.may_administer()?,
    }
    parts.extensions.insert(caller);
    Ok(())
}

/// Routes that take a POST and change nothing.
const READS: [&str; 1] = ["/api-keys/search"];

/// Whether a request takes a POST and changes nothing: there is nothing to be done once only.
pub(super) fn only_reads(request: &Request) -> bool {
    request.extensions().get::<MatchedPath>().is_some_and(|route| READS.contains(&route.as_str()))
}

/// None for what has no body, and for paths that do not exist.
fn needs(request: &Request) -> Option<Needs> {
    if !matches!(*request.method(), Method::POST | Method::PATCH | Method::DELETE | Method::PUT) {
        return None;
    }
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    Some(match route.split('/').nth(1).unwrap_or_default() {
        "accounts" | "access-keys" => Needs::ToAdminister,
        _ if route.contains("/auth/") || only_reads(request) => Needs::AnyRole,
        _ => Needs::ToWrite,
    })
}

//! Context of a request: its caller, precondition and idempotency slot.

use axum::extract::{FromRequestParts, MatchedPath};
use gatepost_control_plane::{Caller, Idempotency, Precondition, RequestContext};
use gatepost_domain::time::Version;
use http::Method;
use http::header::IF_MATCH;
use http::request::Parts;

use crate::api::respond::problem::{ApiError, Result};
use crate::api::state::ApiState;
use crate::http::request_head::RequestHead;

impl FromRequestParts<ApiState> for RequestContext {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let head = RequestHead::of(&parts.extensions);
        Ok(Self {
            caller,
            address: head.address,
            request_id: head.id,
            precondition: precondition(parts),
            members: head.members,
            idempotency: parts.extensions.get::<Idempotency>().cloned(),
        })
    }
}

/// POST routes that act on a resource with an ETag.
pub(crate) const CONDITIONAL_POSTS: [&str; 3] =
    ["/api-keys/{key}/rotate", "/webhooks/{id}/rotate-secret", "/webhooks/{id}/test"];

/// Returns the versions in `If-Match`, for a request that changes a resource or acts on it.
fn precondition(parts: &Parts) -> Precondition {
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let is_conditional = matches!(parts.method, Method::PATCH | Method::DELETE)
        || (parts.method == Method::POST && CONDITIONAL_POSTS.contains(&route));
    if !is_conditional {
        return Precondition::None;
    }
    let fields = parts.headers.get_all(IF_MATCH).iter().map(|field| field.to_str().unwrap_or_default());
    let fields: Vec<&str> = fields.collect();
    let mut tags = fields.iter().flat_map(|field| field.split(',')).map(str::trim).peekable();
    // `*` only requires that the resource exists, as every change does.
    if tags.peek().is_none() || tags.clone().any(|tag| tag == "*") {
        return Precondition::None;
    }
    Precondition::AnyOf(tags.filter_map(parse_etag).collect())
}

/// Returns the version of an ETag; `None` for tags of another format, which match no version.
fn parse_etag(tag: &str) -> Option<Version> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok().map(Version::from_u64)
}

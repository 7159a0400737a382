//! What every answer does, whichever endpoint it comes from: `ETag`, `If-Match`, and no copies in caches.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use gatepost_domain::id::{AccessKeyId, AccountId, KeyId, ProjectId, WebhookId};
use gatepost_domain::time::Version;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH};
use http::{HeaderMap, Method};
use serde::Deserialize;

use crate::request_context::{self, Precondition};

/// Bytes of an answer in which a resource's id is looked for. Every resource is smaller.
const MAX_RESOURCE_BYTES: u64 = 256 * 1024;

/// What stands first in a path, and how the ids of the resources begin that are there.
const RESOURCES: [(&str, &str); 5] = [
    ("accounts", AccountId::PREFIX),
    ("projects", ProjectId::PREFIX),
    ("api-keys", KeyId::PREFIX),
    ("access-keys", AccessKeyId::PREFIX),
    ("webhooks", WebhookId::PREFIX),
];

/// `If-Match` of a request that changes a resource. What is no version of ours matches none.
pub(super) fn parse_if_match(request: &Request) -> Precondition {
    if !matches!(*request.method(), Method::PATCH | Method::DELETE) {
        return Precondition::None;
    }
    let kind = request.uri().path().split('/').nth(1).unwrap_or_default();
    let Some((_, prefix)) = RESOURCES.iter().find(|(name, _)| *name == kind) else { return Precondition::None };
    let fields: Vec<&str> =
        request.headers().get_all(IF_MATCH).iter().map(|field| field.to_str().unwrap_or_default()).collect();
    let mut tags = fields.iter().flat_map(|field| field.split(',')).map(str::trim).peekable();
    // That the resource is there is what every change asks for anyway.
    if tags.peek().is_none() || tags.clone().any(|tag| tag == "*") {
        return Precondition::None;
    }
    Precondition::Versions { prefix, any_of: tags.filter_map(parse_etag).collect() }
}

fn parse_etag(tag: &str) -> Option<Version> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok().map(Version::from_u64)
}

/// Adds to an answer what all answers have.
pub(super) async fn layer(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if response.status().is_success() && is_small_json(&response) { with_etag(response).await } else { response }
}

fn is_small_json(response: &Response) -> bool {
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let length = response.body().size_hint().exact();
    is_json && !response.headers().contains_key(ETAG) && length.is_some_and(|length| length <= MAX_RESOURCE_BYTES)
}

/// The version of the resource that an answer shows is its ETag.
async fn with_etag(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::try_from(MAX_RESOURCE_BYTES).unwrap_or(usize::MAX)).await;
    let bytes = bytes.unwrap_or_else(|error| {
        tracing::error!(%error, "an answer that was made could not be read");
        Bytes::new()
    });
    add_etag(&mut parts.headers, &bytes);
    Response::from_parts(parts, Body::from(bytes))
}

pub(super) fn add_etag(headers: &mut HeaderMap, body: &[u8]) {
    #[derive(Deserialize)]
    struct Identified {
        id: String,
    }
    let Some(request) = request_context::current() else { return };
    let Ok(resource) = serde_json::from_slice::<Identified>(body) else { return };
    let Some(version) = request.version_of(&resource.id) else { return };
    let tag = HeaderValue::from_str(&format!("\"{version}\"")).expect("digits and quotes make a header");
    headers.insert(ETAG, tag);
}

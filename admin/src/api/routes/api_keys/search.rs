//! `POST /api-keys/search`: a POST, so that a key value in a query appears in no path and no log.

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{ControlPlane, KeyScope, RequestContext, Rest, ScanTime, SearchRequest};
use gatepost_domain::key::Secret;
use gatepost_wire::ApiKeyResource;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::list::key_bodies;
use crate::api::extract::body::JsonBody;
use crate::api::respond::problem::Result;

/// Search for keys.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SearchApiKeys {
    /// One of: part of a name, `customAccountId` or `customUserId`, case-insensitive; a mask, or the part of it before
    /// the ellipsis; a full id; the full value of a key, including old values that are still accepted. Leading
    /// and trailing whitespace is ignored.
    #[schema(value_type = String, min_length = 1, max_length = 512, example = "jane")]
    query: Option<String>,
    /// Only keys of this project; by default keys of all projects that the access key may access.
    project_id: Option<String>,
    /// `next` of the previous response to the same query and project.
    #[schema(example = json!(null))]
    after: Option<String>,
    /// Maximum number of keys; by default 100.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Keys found by a search.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FoundApiKeys {
    /// The keys. Their `key` contains their id.
    api_keys: Vec<ApiKeyResource>,
    /// Cursor to pass as `after` in the next request; null if there are no more.
    #[schema(example = "q83v")]
    next: Option<String>,
    /// Whether there may be more keys. A response may contain fewer keys than `limit`, or none, without being the last.
    has_more: bool,
}

impl From<SearchApiKeys> for SearchRequest {
    fn from(request: SearchApiKeys) -> Self {
        Self {
            query: request.query.map(Secret::new),
            scope: request.project_id.map_or(KeyScope::ActiveProjects, KeyScope::Project),
            after: request.after,
            limit: request.limit,
            time: ScanTime::Unlimited,
        }
    }
}

/// Searches keys, newest first; keys of a newer project come before keys of an older one.
///
/// A key whose id or value matches `query` exactly comes first. A search does not count as a use of the key and changes
/// nothing, so an `Idempotency-Key` has no effect.
#[utoipa::path(
    post, path = "/api-keys/search", operation_id = "searchApiKeys", tag = "api-keys", request_body = SearchApiKeys,
    responses((status = 200, body = FoundApiKeys), (status = 400), (status = 401), (status = 404), (status = 503))
)]
pub(crate) async fn search(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    JsonBody(request): JsonBody<SearchApiKeys>,
) -> Result<Json<FoundApiKeys>> {
    let results = control_plane.clone().search_api_keys(context, request.into()).await?;
    Ok(Json(FoundApiKeys {
        api_keys: key_bodies(&control_plane, &results.keys).await?,
        next: (results.rest == Rest::More).then_some(results.next),
        has_more: results.rest == Rest::More,
    }))
}

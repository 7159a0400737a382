//! `POST /api-keys/search`: a POST, so that a value in a query is in no path and no log.

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{ControlPlane, RequestContext, Rest, SearchRequest};
use gatepost_domain::key::Secret;
use gatepost_wire::ApiKeyBody;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::list::key_bodies;
use crate::api::extract::body::JsonBody;
use crate::api::respond::problem::Result;

/// What is searched for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SearchApiKeys {
    /// A part of a name, of a `customAccountId` or of a `customUserId`, in upper or lower case; a mask, or what stands
    /// in it before the ellipsis; a whole id; or the whole value of a key, old ones included that still work. Space
    /// around it does not count.
    #[schema(value_type = String, min_length = 1, max_length = 512, example = "jane")]
    query: Option<String>,
    /// Only keys of this project; by default those of all projects that the access key sees.
    project_id: Option<String>,
    /// The `next` of the answer before, to the same query and project.
    #[schema(example = json!(null))]
    after: Option<String>,
    /// How many at most; by default 100.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Keys that were found.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FoundApiKeys {
    /// The keys. Their `key` is their id.
    api_keys: Vec<ApiKeyBody>,
    /// What to ask for next as `after`.
    #[schema(example = "q83v")]
    next: String,
    /// Whether there may be more. An answer may have fewer keys than were asked for, or none, and not be the last.
    has_more: bool,
}

impl From<SearchApiKeys> for SearchRequest {
    fn from(request: SearchApiKeys) -> Self {
        Self {
            query: request.query.map(Secret::new),
            project: request.project_id,
            after: request.after,
            limit: request.limit,
        }
    }
}

/// Searches keys, the newest first; those of a newer project before those of an older one. The key that `query` names
/// by its id or value comes before all others. This is no use of it, and changes nothing: an `Idempotency-Key` has no
/// effect.
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
        next: results.next,
        has_more: results.rest == Rest::More,
    }))
}

//! `POST /api-keys/revoke`: all keys of a customer.

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{ControlPlane, RequestContext, Rest, RevokeManyRequest, RunMode};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::extract::body::JsonBody;
use crate::api::extract::prefer_wait::PreferWait;
use crate::api::respond::problem::Result;

/// Keys to revoke.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevokeApiKeys {
    /// Project of the keys; optional with an access key that is limited to a project.
    project_id: Option<String>,
    /// The customer whose keys are revoked.
    #[schema(value_type = String, min_length = 1)]
    custom_account_id: Option<String>,
    /// Only counts the keys, and revokes none.
    dry_run: Option<bool>,
    /// `next` of the previous response to the same project, customer and `dryRun`.
    #[schema(example = json!(null))]
    after: Option<String>,
    /// Maximum number of keys to revoke; by default 1,000. A dry run counts all.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Keys that were revoked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevokedApiKeys {
    /// Whether the keys were only counted.
    dry_run: bool,
    /// Number of keys that were revoked; in a dry run, of those that would be.
    count: usize,
    /// Cursor to pass as `after` in the next request.
    #[schema(example = "q83v")]
    next: String,
    /// Whether more keys of the customer may be left. A response may have revoked fewer keys than `limit`, or none, without
    /// being the last.
    has_more: bool,
}

impl From<RevokeApiKeys> for RevokeManyRequest {
    fn from(request: RevokeApiKeys) -> Self {
        Self {
            project: request.project_id,
            custom_account_id: request.custom_account_id,
            after: request.after,
            limit: request.limit,
            mode: if request.dry_run == Some(true) { RunMode::DryRun } else { RunMode::Apply },
        }
    }
}

/// Revokes all active keys of a customer in a project, oldest first.
///
/// Each key is revoked by a change of its own, as DELETE does. A response comes after at most 20 seconds; while it has
/// more, repeat the request with `after`. It is safe to repeat a request that failed. With `Prefer: wait=N` the response
/// is sent once every gateway refuses the keys.
#[utoipa::path(
    post, path = "/api-keys/revoke", operation_id = "revokeApiKeys", tag = "api-keys", request_body = RevokeApiKeys,
    params(("Prefer" = Option<String>, Header, example = "wait=5")),
    responses((status = 200, body = RevokedApiKeys), (status = 400), (status = 401), (status = 403), (status = 404), (status = 503))
)]
pub(crate) async fn revoke(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    wait: PreferWait,
    JsonBody(request): JsonBody<RevokeApiKeys>,
) -> Result<(HeaderMap, Json<RevokedApiKeys>)> {
    let request = RevokeManyRequest::from(request);
    let mode = request.mode;
    let revoked = control_plane.clone().revoke_api_keys(context.clone(), request).await?;
    let headers = match revoked.position {
        Some(position) => wait.wait_for_propagation(&control_plane, &context, position).await?,
        None => HeaderMap::new(),
    };
    let body = RevokedApiKeys {
        dry_run: mode == RunMode::DryRun,
        count: revoked.count,
        next: revoked.next,
        has_more: revoked.rest == Rest::More,
    };
    Ok((headers, Json(body)))
}

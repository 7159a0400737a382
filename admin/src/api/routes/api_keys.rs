//! `/api-keys`.

pub(crate) mod explain;
mod list;
pub(crate) mod revoke;
pub(crate) mod schemas;
pub(crate) mod search;
pub(crate) mod usage;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use gatepost_control_plane::{ControlPlane, EndUser, KeyRef, RequestContext, UpdatedKey};
use gatepost_domain::key::Secret;
use gatepost_domain::partition::Position;
use gatepost_wire::ApiKeyResource;
use http::HeaderMap;

use crate::api::extract::body::{JsonBody, NoBody, OptionalBody, PatchBody};
use crate::api::extract::prefer_wait::PreferWait;
use crate::api::extract::query::{PathId, QueryParams};
use crate::api::respond::problem::Result;
use crate::api::respond::resource::ResourceResponse;
use crate::api::respond::usage_headers;
use schemas::{CreateApiKey, RotateApiKey, UpdateApiKey};

/// Creates a key. Only this response contains its value.
#[utoipa::path(
    post, path = "/api-keys", operation_id = "createApiKey", tag = "api-keys", request_body = CreateApiKey,
    responses((status = 201, body = ApiKeyResource), (status = 400), (status = 401), (status = 403), (status = 409))
)]
pub(crate) async fn create(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    JsonBody(new): JsonBody<CreateApiKey>,
) -> Result<ResourceResponse<ApiKeyResource>> {
    let created = control_plane.create_api_key(&context, new.into()).await?;
    let body = ApiKeyResource::new(&created.record.record, created.secret.expose(), None);
    Ok(ResourceResponse::new(created.record.position, body).created())
}

/// Lists keys as a bare array in order of creation, grouped by project unless `projectId` selects one.
///
/// `key` contains the id, which can be used in paths in place of the value.
#[utoipa::path(
    get, path = "/api-keys", operation_id = "listApiKeys", tag = "api-keys",
    params(
        ("projectId" = Option<String>, Query), ("name" = Option<String>, Query),
        ("customAccountId" = Option<String>, Query, description = "`null` selects keys without one"),
        ("customUserId" = Option<String>, Query, description = "`null` selects keys without one"),
        ("isActive" = Option<bool>, Query), ("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query),
        ("after" = Option<String>, Query),
    ),
    responses((status = 200, body = [ApiKeyResource]), (status = 400), (status = 401), (status = 404))
)]
pub(crate) async fn list(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    query: QueryParams,
) -> Result<Response> {
    list::respond(control_plane, context, &query).await
}

/// Returns a key by its value or id. This does not count as a use of the key.
#[utoipa::path(
    get, path = "/api-keys/{key}", operation_id = "getApiKey", tag = "api-keys", params(("key" = String, Path)),
    responses((status = 200, body = ApiKeyResource), (status = 401), (status = 404))
)]
pub(crate) async fn get(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(key): PathId,
) -> Result<ResourceResponse<ApiKeyResource>> {
    let (position, body) = current_resource(&control_plane, &context, &KeyRef::parse(&key)).await?;
    Ok(ResourceResponse::new(position, body))
}

async fn current_resource(
    control_plane: &ControlPlane,
    context: &RequestContext,
    key_ref: &KeyRef,
) -> Result<(Position, ApiKeyResource)> {
    let found = control_plane.api_key(context, key_ref).await?;
    let last_used_at = control_plane.last_use(&found.record).await?;
    let body = ApiKeyResource::new(&found.record, key_ref.echoed_key(), found.first_used_at);
    Ok((found.position, body.with_last_use(last_used_at)))
}

/// Updates a key.
///
/// Absent members are unchanged; null clears a member. A new `key` replaces the value, and the old value is refused
/// immediately. `isActive: false` revokes the key, as DELETE does. The body may be an unmodified copy of the key from a
/// response.
#[utoipa::path(
    patch, path = "/api-keys/{key}", operation_id = "updateApiKey", tag = "api-keys", request_body = UpdateApiKey,
    params(("key" = String, Path), ("Prefer" = Option<String>, Header, example = "wait=5")),
    responses(
        (status = 200, body = ApiKeyResource), (status = 400), (status = 401), (status = 403), (status = 404),
        (status = 409), (status = 503),
    )
)]
pub(crate) async fn update(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    wait: PreferWait,
    PathId(key): PathId,
    PatchBody { change: update, read_only }: PatchBody<UpdateApiKey>,
) -> Result<ResourceResponse<ApiKeyResource>> {
    let key_ref = KeyRef::parse(&key);
    if !read_only.is_empty() {
        read_only.check(&current_resource(&control_plane, &context, &key_ref).await?.1)?;
    }
    let updated = control_plane.update_api_key(&context, &key_ref, &update.into()).await?;
    updated_response(&control_plane, &context, wait, &key_ref, &updated).await
}

/// Reactivates a revoked key.
#[utoipa::path(
    patch, path = "/api-keys/{key}/reactivate", operation_id = "reactivateApiKey", tag = "api-keys",
    params(("key" = String, Path), ("Prefer" = Option<String>, Header, example = "wait=5")),
    responses((status = 200, body = ApiKeyResource), (status = 401), (status = 403), (status = 404), (status = 503))
)]
pub(crate) async fn reactivate(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    wait: PreferWait,
    PathId(key): PathId,
    _: NoBody,
) -> Result<ResourceResponse<ApiKeyResource>> {
    let key_ref = KeyRef::parse(&key);
    let updated = control_plane.reactivate_api_key(&context, &key_ref).await?;
    updated_response(&control_plane, &context, wait, &key_ref, &updated).await
}

/// Rotates a key: replaces its value. Only this response contains the new value.
///
/// The id, history and first use stay the same. The old value is refused immediately, or after `overlapSeconds`; until
/// then responses to it carry `Deprecation` and `Sunset`. Repeating the request with the old value within ten minutes
/// returns the same response.
#[utoipa::path(
    post, path = "/api-keys/{key}/rotate", operation_id = "rotateApiKey", tag = "api-keys", request_body = Option<RotateApiKey>,
    params(("key" = String, Path), ("Prefer" = Option<String>, Header, example = "wait=5")),
    responses(
        (status = 201, body = ApiKeyResource), (status = 400), (status = 401), (status = 403), (status = 404),
        (status = 409), (status = 503),
    )
)]
pub(crate) async fn rotate(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    wait: PreferWait,
    PathId(key): PathId,
    OptionalBody(rotate): OptionalBody<RotateApiKey>,
) -> Result<ResourceResponse<ApiKeyResource>> {
    let (key_ref, overlap_s) = (KeyRef::parse(&key), rotate.overlap_seconds.unwrap_or(0));
    let rotated = control_plane.rotate_api_key(&context, &key_ref, overlap_s).await?;
    Ok(updated_response(&control_plane, &context, wait, &key_ref, &rotated).await?.created())
}

/// Returns the response with an updated key, once the gateways have applied the change or the wait has timed out.
async fn updated_response(
    control_plane: &ControlPlane,
    context: &RequestContext,
    wait: PreferWait,
    key_ref: &KeyRef,
    updated: &UpdatedKey,
) -> Result<ResourceResponse<ApiKeyResource>> {
    let key = &updated.key;
    let headers = wait.wait_for_propagation(control_plane, context, key.position).await?;
    let last_used_at = control_plane.last_use(&key.record).await?;
    let echoed_key = updated.value.as_ref().map_or(key_ref.echoed_key(), Secret::expose);
    let body = ApiKeyResource::new(&key.record, echoed_key, key.first_used_at).with_last_use(last_used_at);
    Ok(ResourceResponse::new(key.position, body).with_headers(headers))
}

/// Revokes a key. Its history is retained.
///
/// With `Prefer: wait=N` (up to 30 seconds) the response is sent once every gateway refuses the key, or when the wait
/// times out. `Gatepost-Propagated: applied/known` reports how many of the known gateways have applied the change.
#[utoipa::path(
    delete, path = "/api-keys/{key}", operation_id = "deleteApiKey", tag = "api-keys",
    params(("key" = String, Path), ("Prefer" = Option<String>, Header, example = "wait=5")),
    responses((status = 200, body = bool, content_type = "application/json"), (status = 400), (status = 401), (status = 403), (status = 404), (status = 503))
)]
pub(crate) async fn deactivate(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    wait: PreferWait,
    PathId(key): PathId,
) -> Result<(HeaderMap, Json<bool>)> {
    let version = control_plane.deactivate_api_key(&context, &KeyRef::parse(&key)).await?.key.position;
    Ok((wait.wait_for_propagation(&control_plane, &context, version).await?, Json(true)))
}

/// Authenticates a key and counts one use.
///
/// A key that cannot be used returns the same 404 for every reason. A key that is restricted to domains or addresses
/// returns 403 unless `x-origin-domain` and `x-origin-ip` identify an end user that it allows.
#[utoipa::path(
    post, path = "/api-keys/auth/{key}", operation_id = "authenticateApiKey", tag = "api-keys",
    params(
        ("key" = String, Path), ("x-origin-domain" = Option<String>, Header, example = "https://app.example.com"),
        ("x-origin-ip" = Option<String>, Header, example = "192.0.2.1"),
    ),
    responses(
        (status = 200, body = ApiKeyResource), (status = 400), (status = 401), (status = 403),
        (status = 404), (status = 429), (status = 503),
    )
)]
pub(crate) async fn authenticate(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    user: EndUser,
    PathId(key): PathId,
    _: NoBody,
) -> Result<(HeaderMap, Json<ApiKeyResource>)> {
    let found = control_plane.authenticate_api_key(&context, &key, &user).await?;
    let headers = usage_headers::for_authenticated(&found);
    let body = ApiKeyResource::new(&found.key, &key, Some(found.first_used_at));
    Ok((headers, Json(body.with_last_use(Some(control_plane.now())))))
}

/// Authenticates a key and counts one use, for clients that send GET.
#[utoipa::path(
    get, path = "/api-keys/auth/{key}", operation_id = "authenticateApiKeyByGet", tag = "api-keys",
    params(
        ("key" = String, Path), ("x-origin-domain" = Option<String>, Header, example = "https://app.example.com"),
        ("x-origin-ip" = Option<String>, Header, example = "192.0.2.1"),
    ),
    responses(
        (status = 200, body = ApiKeyResource), (status = 400), (status = 401), (status = 403),
        (status = 404), (status = 429), (status = 503),
    )
)]
pub(crate) async fn authenticate_by_get(
    state: State<ControlPlane>,
    context: RequestContext,
    user: EndUser,
    key: PathId,
) -> Result<(HeaderMap, Json<ApiKeyResource>)> {
    authenticate(state, context, user, key, NoBody).await
}

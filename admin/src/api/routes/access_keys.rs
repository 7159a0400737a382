//! `/access-keys`.

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{
    AccessKeyChange, AccessKeyFilter, AccessKeyRef, AccessKeyRequest, ControlPlane, Patch, RequestContext, status_of,
};
use gatepost_domain::record::Status;
use gatepost_wire::AccessKeyResource;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::extract::body::{JsonBody, NoBody, PatchBody};
use crate::api::extract::query::{PathId, QueryParams};
use crate::api::patch;
use crate::api::respond::page::{self, PageResponse};
use crate::api::respond::problem::Result;
use crate::api::respond::resource::ResourceResponse;

/// Access key to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateAccessKey {
    /// Name of the access key.
    #[schema(value_type = String)]
    name: Option<String>,
    /// Account of the access key; by default the account of the calling access key.
    account_id: Option<String>,
    /// The only project that it may access; by default the whole account, or the project of the calling access key.
    project_id: Option<String>,
    /// `admin`: full access; `user` (the default): everything except accounts and access keys; `viewer`: read-only.
    role: Option<String>,
    /// Expiry time, in the future. The access key cannot be used from then on.
    expiry: Option<String>,
}

/// Changes to an access key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateAccessKey {
    /// Name of the access key, 1 to 256 characters.
    #[serde(default, with = "patch")]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    /// False revokes the access key, as DELETE does. True returns 409 if it is revoked, and has no effect otherwise.
    is_active: Option<bool>,
    /// Account of the access key; a different one returns 400.
    account_id: Option<String>,
    /// Project of the access key, null for the whole account; a different one returns 400.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    project_id: Patch<String>,
    /// Role of the access key; a different one returns 400.
    role: Option<String>,
    /// Id or value of the access key; a different one returns 400.
    key: Option<String>,
    /// Expiry time, null for no expiry; a different time returns 400.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    expiry: Patch<String>,
    /// The same as `expiry`, under the name that responses use.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    expires_at: Patch<String>,
}

impl From<UpdateAccessKey> for AccessKeyChange {
    fn from(update: UpdateAccessKey) -> Self {
        Self {
            name: update.name,
            status: update.is_active.map(status_of),
            account: update.account_id,
            project: update.project_id,
            role: update.role,
            key: update.key,
            expiry: update.expiry,
            expires_at: update.expires_at,
        }
    }
}

/// Creates an access key. Only this response contains its value.
#[utoipa::path(
    post, path = "/access-keys", operation_id = "createAccessKey", tag = "access-keys", request_body = CreateAccessKey,
    responses(
        (status = 201, body = AccessKeyResource), (status = 400), (status = 401), (status = 403), (status = 404),
        (status = 409),
    )
)]
pub(crate) async fn create(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    JsonBody(new): JsonBody<CreateAccessKey>,
) -> Result<ResourceResponse<AccessKeyResource>> {
    let request = AccessKeyRequest {
        name: new.name,
        account: new.account_id,
        project: new.project_id,
        role: new.role,
        expiry: new.expiry,
    };
    let created = control_plane.create_access_key_for(&context, request).await?;
    let body = AccessKeyResource::new(&created.record.record, created.secret.expose());
    Ok(ResourceResponse::new(created.record.position, body).created())
}

/// Lists access keys in order of creation. `key` contains the id, which can be used in paths in place of the value.
#[utoipa::path(
    get, path = "/access-keys", operation_id = "listAccessKeys", tag = "access-keys",
    params(
        ("accountId" = Option<String>, Query), ("projectId" = Option<String>, Query),
        ("isActive" = Option<bool>, Query),
        ("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query), ("after" = Option<String>, Query),
    ),
    responses((status = 200, body = [AccessKeyResource]), (status = 400), (status = 401), (status = 403))
)]
pub(crate) async fn list(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    query: QueryParams,
) -> Result<PageResponse<AccessKeyResource>> {
    let filter = AccessKeyFilter {
        account: query.non_null("accountId"),
        project: query.non_null("projectId"),
        status: query.boolean("isActive", Status::Active, Status::Inactive)?,
    };
    let keys = control_plane.access_keys(&context, &filter, &page::parse_page_request(&query)?).await?;
    Ok(page::page_response(&query, keys.map(|key| AccessKeyResource::new(&key, key.id.as_str()))))
}

/// Renames an access key.
///
/// `isActive: false` revokes it, as DELETE does. The body may be an unmodified copy of the access key from the list.
#[utoipa::path(
    patch, path = "/access-keys/{key}", operation_id = "updateAccessKey", tag = "access-keys", params(("key" = String, Path)),
    request_body = UpdateAccessKey,
    responses((status = 200, body = AccessKeyResource), (status = 400), (status = 401), (status = 403), (status = 404))
)]
pub(crate) async fn update(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(key): PathId,
    PatchBody { change, read_only }: PatchBody<UpdateAccessKey>,
) -> Result<ResourceResponse<AccessKeyResource>> {
    let key_ref = AccessKeyRef::parse(&key);
    if !read_only.is_empty() {
        let found = control_plane.access_key(&context, &key_ref).await?.record;
        read_only.check(&AccessKeyResource::new(&found, key_ref.echoed_key()))?;
    }
    let changed = control_plane.update_access_key(&context, &key_ref, &change.into()).await?;
    Ok(ResourceResponse::new(changed.position, AccessKeyResource::new(&changed.record, key_ref.echoed_key())))
}

/// Revokes an access key, immediately and everywhere.
#[utoipa::path(
    delete, path = "/access-keys/{key}", operation_id = "deleteAccessKey", tag = "access-keys", params(("key" = String, Path)),
    responses((status = 200, body = bool, content_type = "application/json"), (status = 401), (status = 403), (status = 404))
)]
pub(crate) async fn deactivate(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(key): PathId,
) -> Result<Json<bool>> {
    control_plane.deactivate_access_key(&context, &AccessKeyRef::parse(&key)).await?;
    Ok(Json(true))
}

/// Reactivates a revoked access key.
#[utoipa::path(
    patch, path = "/access-keys/{key}/reactivate", operation_id = "reactivateAccessKey", tag = "access-keys", params(("key" = String, Path)),
    responses((status = 200, body = AccessKeyResource), (status = 401), (status = 403), (status = 404))
)]
pub(crate) async fn reactivate(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(key): PathId,
    _: NoBody,
) -> Result<ResourceResponse<AccessKeyResource>> {
    let key_ref = AccessKeyRef::parse(&key);
    let active = control_plane.reactivate_access_key(&context, &key_ref).await?;
    Ok(ResourceResponse::new(active.position, AccessKeyResource::new(&active.record, key_ref.echoed_key())))
}

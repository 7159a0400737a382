//! `/access-keys`.

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{
    AccessKeyChange, AccessKeyFilter, AccessKeyRef, AccessKeyRequest, ControlPlane, Patch, RequestContext, status_of,
};
use gatepost_domain::record::Status;
use gatepost_wire::AccessKeyBody;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::extract::body::{JsonBody, NoBody};
use crate::api::extract::query::{PathId, QueryParams};
use crate::api::patch;
use crate::api::respond::page::{self, PageResponse};
use crate::api::respond::problem::Result;
use crate::api::respond::resource::Resource;

/// An access key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateAccessKey {
    /// Its name.
    #[schema(value_type = String)]
    name: Option<String>,
    /// The account; by default that of the access key that asks.
    account_id: Option<String>,
    /// The only project that it shall see; by default the whole account, or the project of the access key that asks.
    project_id: Option<String>,
    /// `admin`: everything; `user` (the default): all but accounts and access keys; `viewer`: reading.
    role: Option<String>,
    /// A moment in the future from which it may not be used any more.
    expiry: Option<String>,
}

/// What of an access key shall change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateAccessKey {
    /// Its name, of 1 to 256 characters.
    #[serde(default, with = "patch")]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    /// False revokes the access key, as DELETE does. True is a 409 if it is revoked, and nothing else.
    is_active: Option<bool>,
    /// The account of the access key: another one is a 400.
    account_id: Option<String>,
    /// The project of the access key, null for the whole account: another one is a 400.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    project_id: Patch<String>,
    /// The role of the access key: another one is a 400.
    role: Option<String>,
    /// The id or the value of the access key: another one is a 400.
    key: Option<String>,
    /// When the access key expires, null for never: another moment is a 400.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    expiry: Patch<String>,
    /// The same as `expiry`, as answers have it.
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

/// Makes an access key. Its value is told only in this answer.
#[utoipa::path(
    post, path = "/access-keys", operation_id = "createAccessKey", tag = "access-keys", request_body = CreateAccessKey,
    responses(
        (status = 201, body = AccessKeyBody), (status = 400), (status = 401), (status = 403), (status = 404),
        (status = 409),
    )
)]
pub(crate) async fn create(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    JsonBody(new): JsonBody<CreateAccessKey>,
) -> Result<Resource<AccessKeyBody>> {
    let request = AccessKeyRequest {
        name: new.name,
        account: new.account_id,
        project: new.project_id,
        role: new.role,
        expiry: new.expiry,
    };
    let created = control_plane.create_access_key_for(&context, request).await?;
    let body = AccessKeyBody::new(&created.record.record, created.secret.expose());
    Ok(Resource::new(created.record.version, body).created())
}

/// Lists access keys, in order of creation. Their `key` is their id, which names them in paths as the value does.
#[utoipa::path(
    get, path = "/access-keys", operation_id = "listAccessKeys", tag = "access-keys",
    params(
        ("accountId" = Option<String>, Query), ("projectId" = Option<String>, Query),
        ("isActive" = Option<bool>, Query),
        ("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query), ("after" = Option<String>, Query),
    ),
    responses((status = 200, body = [AccessKeyBody]), (status = 400), (status = 401), (status = 403))
)]
pub(crate) async fn list(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    query: QueryParams,
) -> Result<PageResponse<AccessKeyBody>> {
    let filter = AccessKeyFilter {
        account: query.non_null("accountId"),
        project: query.non_null("projectId"),
        status: query.boolean("isActive", Status::Active, Status::Inactive)?,
    };
    let keys = control_plane.access_keys(&context, &filter, &page::parse_page_request(&query)?).await?;
    Ok(page::page_response(&query, keys.map(|key| AccessKeyBody::new(&key, key.id.as_str()))))
}

/// Gives an access key another name. `isActive: false` revokes it as DELETE does. A copy of the access key may be sent
/// back as it was listed.
#[utoipa::path(
    patch, path = "/access-keys/{key}", operation_id = "updateAccessKey", tag = "access-keys", params(("key" = String, Path)),
    request_body = UpdateAccessKey,
    responses((status = 200, body = AccessKeyBody), (status = 400), (status = 401), (status = 403), (status = 404))
)]
pub(crate) async fn update(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(key): PathId,
    JsonBody(change): JsonBody<UpdateAccessKey>,
) -> Result<Resource<AccessKeyBody>> {
    let name = AccessKeyRef::parse(&key);
    let changed = control_plane.update_access_key(&context, &name, &change.into()).await?;
    Ok(Resource::new(changed.version, AccessKeyBody::new(&changed.record, name.echoed_key())))
}

/// Shuts an access key off, at once and everywhere.
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

/// Lets an access key in again that was shut off.
#[utoipa::path(
    patch, path = "/access-keys/{key}/reactivate", operation_id = "reactivateAccessKey", tag = "access-keys", params(("key" = String, Path)),
    responses((status = 200, body = AccessKeyBody), (status = 401), (status = 403), (status = 404))
)]
pub(crate) async fn reactivate(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(key): PathId,
    _: NoBody,
) -> Result<Resource<AccessKeyBody>> {
    let name = AccessKeyRef::parse(&key);
    let active = control_plane.reactivate_access_key(&context, &name).await?;
    Ok(Resource::new(active.version, AccessKeyBody::new(&active.record, name.echoed_key())))
}

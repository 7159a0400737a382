//! `/access-keys`.

use axum::Json;
use axum::extract::State;
use gatepost_domain::record::Status;
use gatepost_wire::AccessKeyBody;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::{JsonBody, Named, Query};
use super::named::NameBody;
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::Result;
use crate::use_cases::access_keys::{AccessKeyFilter, AccessKeyName, AskedAccessKey};

/// An access key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateAccessKey {
    /// Its name.
    #[schema(required)]
    name: Option<String>,
    /// The account; by default that of the access key that asks.
    account_id: Option<String>,
    /// The only project that it shall see; by default the whole account, or the project of the access key that asks.
    project_id: Option<String>,
    /// `admin`: everything; `user` (the default): all but accounts and access keys; `viewer`: reading.
    role: Option<String>,
}

/// Makes an access key. Its value is told only in this answer.
#[utoipa::path(
    post, path = "/access-keys", tag = "access-keys", request_body = CreateAccessKey,
    responses((status = 201, body = AccessKeyBody), (status = 400), (status = 401), (status = 403), (status = 404))
)]
pub(super) async fn create(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    JsonBody(new): JsonBody<CreateAccessKey>,
) -> Result<(StatusCode, Json<AccessKeyBody>)> {
    let asked = AskedAccessKey { name: new.name, account: new.account_id, project: new.project_id, role: new.role };
    let (access_key, secret) = control_plane.create_access_key_for(&caller, asked).await?;
    Ok((StatusCode::CREATED, Json(AccessKeyBody::new(&access_key, secret.expose()))))
}

/// Lists access keys. Their `key` is their id, which names them in paths as the value does.
#[utoipa::path(
    get, path = "/access-keys", tag = "access-keys",
    params(
        ("accountId" = Option<String>, Query), ("projectId" = Option<String>, Query),
        ("isActive" = Option<bool>, Query),
    ),
    responses((status = 200, body = [AccessKeyBody]), (status = 400), (status = 401), (status = 403))
)]
pub(super) async fn list(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    query: Query,
) -> Result<Json<Vec<AccessKeyBody>>> {
    let filter = AccessKeyFilter {
        account: query.name("accountId"),
        project: query.name("projectId"),
        status: query.choice("isActive", Status::Active, Status::Inactive)?,
    };
    let keys = control_plane.access_keys(&caller, &filter).await?;
    Ok(Json(keys.iter().map(|key| AccessKeyBody::new(key, key.id.as_str())).collect()))
}

/// Gives an access key another name.
#[utoipa::path(
    patch, path = "/access-keys/{key}", tag = "access-keys", params(("key" = String, Path)), request_body = NameBody,
    responses((status = 200, body = AccessKeyBody), (status = 400), (status = 401), (status = 403), (status = 404))
)]
pub(super) async fn update(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    Named(key): Named,
    JsonBody(new): JsonBody<NameBody>,
) -> Result<Json<AccessKeyBody>> {
    let name = AccessKeyName::parse(&key);
    let renamed = control_plane.rename_access_key(&caller, &name, new.name).await?;
    Ok(Json(AccessKeyBody::new(&renamed, name.shown())))
}

/// Shuts an access key off, at once and everywhere.
#[utoipa::path(
    delete, path = "/access-keys/{key}", tag = "access-keys", params(("key" = String, Path)),
    responses((status = 200, body = bool, content_type = "application/json"), (status = 401), (status = 403), (status = 404))
)]
pub(super) async fn deactivate(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    Named(key): Named,
) -> Result<Json<bool>> {
    control_plane.deactivate_access_key(&caller, &AccessKeyName::parse(&key)).await?;
    Ok(Json(true))
}

/// Lets an access key in again that was shut off.
#[utoipa::path(
    patch, path = "/access-keys/{key}/reactivate", tag = "access-keys", params(("key" = String, Path)),
    responses((status = 200, body = AccessKeyBody), (status = 401), (status = 403), (status = 404))
)]
pub(super) async fn reactivate(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    Named(key): Named,
) -> Result<Json<AccessKeyBody>> {
    let name = AccessKeyName::parse(&key);
    let active = control_plane.reactivate_access_key(&caller, &name).await?;
    Ok(Json(AccessKeyBody::new(&active, name.shown())))
}

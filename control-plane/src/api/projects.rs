//! `/projects`.

use axum::Json;
use axum::extract::State;
use gatepost_wire::ProjectBody;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::{JsonBody, Named, Query};
use super::gateways::PreferWait;
use super::named::NameBody;
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::Result;
use crate::use_cases::projects::NewProject;

/// A project to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateProject {
    /// Its name.
    #[schema(required)]
    name: Option<String>,
    /// The account; by default that of the access key.
    account_id: Option<String>,
    /// `live` or `test`, fixed for its life.
    #[schema(required)]
    env: Option<String>,
}

/// Makes a project.
#[utoipa::path(
    post, path = "/projects", tag = "projects", request_body = CreateProject,
    responses((status = 201, body = ProjectBody), (status = 400), (status = 401), (status = 403))
)]
pub(super) async fn create(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    JsonBody(new): JsonBody<CreateProject>,
) -> Result<(StatusCode, Json<ProjectBody>)> {
    let new = NewProject { name: new.name, account: new.account_id, env: new.env };
    let project = control_plane.create_project(&caller, new).await?;
    Ok((StatusCode::CREATED, Json(ProjectBody::from(&project))))
}

/// Lists projects.
#[utoipa::path(
    get, path = "/projects", tag = "projects", params(("accountId" = Option<String>, Query)),
    responses((status = 200, body = [ProjectBody]), (status = 401), (status = 403))
)]
pub(super) async fn list(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    query: Query,
) -> Result<Json<Vec<ProjectBody>>> {
    let projects = control_plane.projects(&caller, query.name("accountId").as_deref()).await?;
    Ok(Json(projects.iter().map(ProjectBody::from).collect()))
}

/// Reads a project.
#[utoipa::path(
    get, path = "/projects/{id}", tag = "projects", params(("id" = String, Path)),
    responses((status = 200, body = ProjectBody), (status = 401), (status = 404))
)]
pub(super) async fn get(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    Named(id): Named,
) -> Result<Json<ProjectBody>> {
    let found = control_plane.project(&caller, &id).await?;
    Ok(Json(ProjectBody::from(&found.record)))
}

/// Gives a project another name.
#[utoipa::path(
    patch, path = "/projects/{id}", tag = "projects", params(("id" = String, Path)), request_body = NameBody,
    responses((status = 200, body = ProjectBody), (status = 400), (status = 401), (status = 403), (status = 404))
)]
pub(super) async fn update(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    Named(id): Named,
    JsonBody(new): JsonBody<NameBody>,
) -> Result<Json<ProjectBody>> {
    Ok(Json(ProjectBody::from(&control_plane.rename_project(&caller, &id, new.name).await?)))
}

/// Shuts a project off, and all its keys with it, for good. With `Prefer: wait=N` (up to 30 seconds) the answer comes
/// when every gateway refuses them, and `Gatepost-Propagated: applied/known` tells what was reached.
#[utoipa::path(
    delete, path = "/projects/{id}", tag = "projects",
    params(("id" = String, Path), ("Prefer" = Option<String>, Header, example = "wait=5")),
    responses((status = 200, body = bool, content_type = "application/json"), (status = 400), (status = 401), (status = 403), (status = 404), (status = 503))
)]
pub(super) async fn deactivate(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    wait: PreferWait,
    Named(id): Named,
) -> Result<(HeaderMap, Json<bool>)> {
    let version = control_plane.deactivate_project(&caller, &id).await?;
    Ok((wait.headers(&control_plane, version).await?, Json(true)))
}

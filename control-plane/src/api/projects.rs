//! `/projects`.

use axum::Json;
use axum::extract::State;
use gatepost_wire::ProjectBody;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::body::JsonBody;
use super::extract::{Named, Query};
use super::gateways::PreferWait;
use super::paging::{self, PageOf};
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::Result;
use crate::use_cases::copies::status;
use crate::use_cases::given::Given;
use crate::use_cases::projects::{NewProject, ProjectChange};

/// A project to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateProject {
    /// Its name.
    #[schema(value_type = String)]
    name: Option<String>,
    /// The account; by default that of the access key.
    account_id: Option<String>,
    /// `live` or `test`, fixed for its life.
    #[schema(value_type = String)]
    env: Option<String>,
}

/// What of a project shall change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateProject {
    /// Its name, of 1 to 256 characters.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    name: Given<String>,
    /// False ends the project, as DELETE does. True is a 409 if it was deleted, and nothing else.
    is_active: Option<bool>,
    /// The account of the project: another one is a 400.
    account_id: Option<String>,
    /// The env of the project: another one is a 400.
    env: Option<String>,
}

impl From<UpdateProject> for ProjectChange {
    fn from(update: UpdateProject) -> Self {
        Self { name: update.name, status: update.is_active.map(status), account: update.account_id, env: update.env }
    }
}

/// Makes a project.
#[utoipa::path(
    post, path = "/projects", operation_id = "createProject", tag = "projects", request_body = CreateProject,
    responses((status = 201, body = ProjectBody), (status = 400), (status = 401), (status = 403), (status = 409))
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

/// Lists projects, in order of creation.
#[utoipa::path(
    get, path = "/projects", operation_id = "listProjects", tag = "projects",
    params(
        ("accountId" = Option<String>, Query),
        ("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query), ("after" = Option<String>, Query),
    ),
    responses((status = 200, body = [ProjectBody]), (status = 400), (status = 401), (status = 403))
)]
pub(super) async fn list(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    query: Query,
) -> Result<PageOf<ProjectBody>> {
    let range = paging::range(&query)?;
    let part = control_plane.projects(&caller, query.name("accountId").as_deref(), &range).await?;
    Ok(paging::page(&query, part.map(|project| ProjectBody::from(&project))))
}

/// Reads a project.
#[utoipa::path(
    get, path = "/projects/{id}", operation_id = "getProject", tag = "projects", params(("id" = String, Path)),
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

/// Gives a project another name. `isActive: false` deletes it as DELETE does. A copy of the project may be sent back as it
/// was read.
#[utoipa::path(
    patch, path = "/projects/{id}", operation_id = "updateProject", tag = "projects", request_body = UpdateProject,
    params(("id" = String, Path), ("Prefer" = Option<String>, Header, example = "wait=5")),
    responses((status = 200, body = ProjectBody), (status = 400), (status = 401), (status = 403), (status = 404))
)]
pub(super) async fn update(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    wait: PreferWait,
    Named(id): Named,
    JsonBody(change): JsonBody<UpdateProject>,
) -> Result<(HeaderMap, Json<ProjectBody>)> {
    let changed = control_plane.update_project(&caller, &id, &change.into()).await?;
    Ok((wait.headers(&control_plane, &caller, changed.version).await?, Json(ProjectBody::from(&changed.project))))
}

/// Shuts a project off, and all its keys with it, for good. With `Prefer: wait=N` (up to 30 seconds) the answer comes
/// when every gateway refuses them, and `Gatepost-Propagated: applied/known` tells what was reached.
#[utoipa::path(
    delete, path = "/projects/{id}", operation_id = "deleteProject", tag = "projects",
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
    Ok((wait.headers(&control_plane, &caller, version).await?, Json(true)))
}

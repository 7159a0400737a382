//! `/projects`.

use axum::Json;
use axum::extract::State;
use gatepost_wire::ProjectBody;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::extractors::{PathId, QueryParams};
use super::gateways::PreferWait;
use super::paging::{self, PageResponse};
use super::request_body::JsonBody;
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::Result;
use crate::use_cases::patch::Patch;
use crate::use_cases::projects::{NewProject, ProjectChange};
use crate::use_cases::update_rules::status_of;

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
    name: Patch<String>,
    /// False ends the project, as DELETE does. True is a 409 if it was deleted, and nothing else.
    is_active: Option<bool>,
    /// The account of the project: another one is a 400.
    account_id: Option<String>,
    /// The env of the project: another one is a 400.
    env: Option<String>,
}

impl From<UpdateProject> for ProjectChange {
    fn from(update: UpdateProject) -> Self {
        Self { name: update.name, status: update.is_active.map(status_of), account: update.account_id, env: update.env }
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
    query: QueryParams,
) -> Result<PageResponse<ProjectBody>> {
    let page_request = paging::parse_page_request(&query)?;
    let page = control_plane.projects(&caller, query.non_null("accountId").as_deref(), &page_request).await?;
    Ok(paging::page_response(&query, page.map(|project| ProjectBody::from(&project))))
}

/// Reads a project.
#[utoipa::path(
    get, path = "/projects/{id}", operation_id = "getProject", tag = "projects", params(("id" = String, Path)),
    responses((status = 200, body = ProjectBody), (status = 401), (status = 404))
)]
pub(super) async fn get(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    PathId(id): PathId,
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
    PathId(id): PathId,
    JsonBody(change): JsonBody<UpdateProject>,
) -> Result<(HeaderMap, Json<ProjectBody>)> {
    let changed = control_plane.update_project(&caller, &id, &change.into()).await?;
    Ok((
        wait.wait_for_propagation(&control_plane, &caller, changed.version).await?,
        Json(ProjectBody::from(&changed.project)),
    ))
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
    PathId(id): PathId,
) -> Result<(HeaderMap, Json<bool>)> {
    let version = control_plane.deactivate_project(&caller, &id).await?;
    Ok((wait.wait_for_propagation(&control_plane, &caller, version).await?, Json(true)))
}

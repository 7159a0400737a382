//! `/projects`.

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{
    ControlPlane, NewProject, Patch, ProjectChange, ProjectFilter, RequestContext, status_of,
};
use gatepost_domain::record::Status;
use gatepost_wire::ProjectResource;
use http::HeaderMap;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::extract::body::{JsonBody, PatchBody};
use crate::api::extract::prefer_wait::PreferWait;
use crate::api::extract::query::{PathId, QueryParams};
use crate::api::patch;
use crate::api::respond::page::{self, PageResponse};
use crate::api::respond::problem::Result;
use crate::api::respond::resource::ResourceResponse;

/// Project to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateProject {
    /// Name of the project.
    #[schema(value_type = String)]
    name: Option<String>,
    /// Account of the project; by default the account of the access key.
    account_id: Option<String>,
    /// `live` or `test`; immutable.
    #[schema(value_type = String)]
    env: Option<String>,
}

/// Changes to a project.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateProject {
    /// Name of the project, 1 to 256 characters.
    #[serde(default, with = "patch")]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    /// False deactivates the project, as DELETE does. True returns 409 if it was deactivated, and has no effect
    /// otherwise.
    is_active: Option<bool>,
    /// Account of the project; a different one returns 400.
    account_id: Option<String>,
    /// Env of the project; a different one returns 400.
    env: Option<String>,
}

impl From<UpdateProject> for ProjectChange {
    fn from(update: UpdateProject) -> Self {
        Self { name: update.name, status: update.is_active.map(status_of), account: update.account_id, env: update.env }
    }
}

/// Creates a project.
#[utoipa::path(
    post, path = "/projects", operation_id = "createProject", tag = "projects", request_body = CreateProject,
    responses((status = 201, body = ProjectResource), (status = 400), (status = 401), (status = 403), (status = 409))
)]
pub(crate) async fn create(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    JsonBody(new): JsonBody<CreateProject>,
) -> Result<ResourceResponse<ProjectResource>> {
    let new = NewProject { name: new.name, account: new.account_id, env: new.env };
    let project = control_plane.create_project(&context, new).await?;
    Ok(ResourceResponse::new(project.position, ProjectResource::from(&project.record)).created())
}

/// Lists projects in order of creation; with `isActive=false` the deleted ones.
#[utoipa::path(
    get, path = "/projects", operation_id = "listProjects", tag = "projects",
    params(
        ("accountId" = Option<String>, Query),
        ("isActive" = Option<bool>, Query),
        ("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query), ("after" = Option<String>, Query),
    ),
    responses((status = 200, body = [ProjectResource]), (status = 400), (status = 401), (status = 403))
)]
pub(crate) async fn list(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    query: QueryParams,
) -> Result<PageResponse<ProjectResource>> {
    let page_request = page::parse_page_request(&query)?;
    let status = query.boolean("isActive", Status::Active, Status::Inactive)?;
    let (account, status) = (query.non_null("accountId"), Some(status.unwrap_or(Status::Active)));
    let filter = ProjectFilter { account, status, ..ProjectFilter::default() };
    let projects = control_plane.projects(&context, &filter, &page_request).await?;
    Ok(page::page_response(&query, projects.map(|project| ProjectResource::from(&project))))
}

/// Returns a project.
#[utoipa::path(
    get, path = "/projects/{id}", operation_id = "getProject", tag = "projects", params(("id" = String, Path)),
    responses((status = 200, body = ProjectResource), (status = 401), (status = 404))
)]
pub(crate) async fn get(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(id): PathId,
) -> Result<ResourceResponse<ProjectResource>> {
    let found = control_plane.project(&context, &id).await?;
    Ok(ResourceResponse::new(found.position, ProjectResource::from(&found.record)))
}

/// Renames a project.
///
/// `isActive: false` deactivates it, as DELETE does. The body may be an unmodified copy of the project from a response.
#[utoipa::path(
    patch, path = "/projects/{id}", operation_id = "updateProject", tag = "projects", request_body = UpdateProject,
    params(("id" = String, Path), ("Prefer" = Option<String>, Header, example = "wait=5")),
    responses((status = 200, body = ProjectResource), (status = 400), (status = 401), (status = 403), (status = 404))
)]
pub(crate) async fn update(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    wait: PreferWait,
    PathId(id): PathId,
    PatchBody { change, read_only }: PatchBody<UpdateProject>,
) -> Result<ResourceResponse<ProjectResource>> {
    if !read_only.is_empty() {
        read_only.check(&ProjectResource::from(&control_plane.project(&context, &id).await?.record))?;
    }
    let updated = control_plane.update_project(&context, &id, &change.into()).await?;
    let headers = wait.wait_for_propagation(&control_plane, &context, updated.position).await?;
    Ok(ResourceResponse::new(updated.position, ProjectResource::from(&updated.record)).with_headers(headers))
}

/// Deactivates a project and all its keys permanently.
///
/// With `Prefer: wait=N` (up to 30 seconds) the response is sent once every gateway refuses the keys, or when the wait
/// times out. `Gatepost-Propagated: applied/known` reports how many of the known gateways have applied the change.
#[utoipa::path(
    delete, path = "/projects/{id}", operation_id = "deleteProject", tag = "projects",
    params(("id" = String, Path), ("Prefer" = Option<String>, Header, example = "wait=5")),
    responses((status = 200, body = bool, content_type = "application/json"), (status = 400), (status = 401), (status = 403), (status = 404), (status = 503))
)]
pub(crate) async fn deactivate(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    wait: PreferWait,
    PathId(id): PathId,
) -> Result<(HeaderMap, Json<bool>)> {
    let version = control_plane.deactivate_project(&context, &id).await?.position;
    Ok((wait.wait_for_propagation(&control_plane, &context, version).await?, Json(true)))
}

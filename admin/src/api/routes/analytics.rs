//! `/analytics`.

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{ControlPlane, RequestContext, Total, UsageReportRequest};
use gatepost_store::ops::UsageGrouping;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::extract::query::QueryParams;
use crate::api::respond::problem::Result;

/// Uses of all keys of a project in a time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProjectTotal {
    /// The project.
    project_id: String,
    /// The beginning of the hour, day or month, in UTC.
    #[schema(example = "2026-11-25T00:00:00.000Z")]
    date: String,
    /// Requests that passed, at gateways and at the check of this API.
    total: u64,
}

/// Uses of a key in a time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyTotal {
    /// The id of the key.
    api_key_id: String,
    /// Its project.
    project_id: String,
    /// The beginning of the hour, day or month, in UTC.
    #[schema(example = "2026-11-25T00:00:00.000Z")]
    date: String,
    /// Requests that passed, at gateways and at the check of this API.
    total: u64,
}

/// Tells how often a project's keys were used, by the hour, the day or the month, oldest first. Times without a use are
/// left out. Uses are counted within a second, and kept for 90 days.
#[utoipa::path(
    get, path = "/analytics/project-totals", operation_id = "getProjectTotals", tag = "analytics",
    params(
        ("projectId" = Option<String>, Query, description = "Not needed with an access key of a project."),
        ("dateGrouping" = Option<String>, Query, description = "`hour`, `day` (the default) or `month`."),
        ("from" = Option<String>, Query, description = "The first hour; by default the oldest that is kept."),
        ("to" = Option<String>, Query, description = "The end; by default now."),
    ),
    responses((status = 200, body = [ProjectTotal]), (status = 400), (status = 401), (status = 404))
)]
pub(crate) async fn project_totals(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    query: QueryParams,
) -> Result<Json<Vec<ProjectTotal>>> {
    let (project, totals) = control_plane.totals(&context, UsageGrouping::Project, &report_request(&query)).await?;
    let total = |total: Total| ProjectTotal {
        project_id: project.to_string(),
        date: total.start.to_string(),
        total: total.count,
    };
    Ok(Json(totals.into_iter().map(total).collect()))
}

/// Tells how often each key of a project was used, by the hour, the day or the month, oldest first. Keys are left out in
/// times in which they were not used. At most 100,000 totals are told at a time.
#[utoipa::path(
    get, path = "/analytics/api-key-totals", operation_id = "getApiKeyTotals", tag = "analytics",
    params(
        ("projectId" = Option<String>, Query, description = "Not needed with an access key of a project."),
        ("dateGrouping" = Option<String>, Query, description = "`hour`, `day` (the default) or `month`."),
        ("from" = Option<String>, Query, description = "The first hour; by default the oldest that is kept."),
        ("to" = Option<String>, Query, description = "The end; by default now."),
    ),
    responses((status = 200, body = [ApiKeyTotal]), (status = 400), (status = 401), (status = 404))
)]
pub(crate) async fn api_key_totals(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    query: QueryParams,
) -> Result<Json<Vec<ApiKeyTotal>>> {
    let (project, totals) = control_plane.totals(&context, UsageGrouping::Keys, &report_request(&query)).await?;
    let total = |total: Total| {
        Some(ApiKeyTotal {
            api_key_id: total.key?.to_string(),
            project_id: project.to_string(),
            date: total.start.to_string(),
            total: total.count,
        })
    };
    Ok(Json(totals.into_iter().filter_map(total).collect()))
}

fn report_request(query: &QueryParams) -> UsageReportRequest {
    UsageReportRequest {
        project: query.non_null("projectId"),
        grouping: query.non_null("dateGrouping"),
        from: query.non_null("from"),
        to: query.non_null("to"),
    }
}

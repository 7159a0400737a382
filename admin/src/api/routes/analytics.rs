//! `/analytics`.

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{ControlPlane, RequestContext, Total, UsageReportRequest};
use gatepost_store::UsageGrouping;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::extract::query::QueryParams;
use crate::api::respond::problem::Result;

/// Number of uses of all keys of a project in one period.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProjectTotal {
    /// Id of the project.
    project_id: String,
    /// Start of the hour, day or month, in UTC.
    #[schema(example = "2026-11-25T00:00:00.000Z")]
    date: String,
    /// Number of accepted requests, at gateways and at the key check of this API.
    total: u64,
}

/// Number of uses of one key in one period.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyTotal {
    /// Id of the key.
    api_key_id: String,
    /// Project of the key.
    project_id: String,
    /// Start of the hour, day or month, in UTC.
    #[schema(example = "2026-11-25T00:00:00.000Z")]
    date: String,
    /// Number of accepted requests, at gateways and at the key check of this API.
    total: u64,
}

/// Returns the number of uses of a project's keys per hour, day or month, oldest first.
///
/// Periods without uses are omitted. A use is counted within one second. By default, counts older than 7 days are kept by
/// the day, and those older than 90 days by the month.
#[utoipa::path(
    get, path = "/analytics/project-totals", operation_id = "getProjectTotals", tag = "analytics",
    params(
        ("projectId" = Option<String>, Query, description = "Optional with an access key that is limited to a project."),
        ("dateGrouping" = Option<String>, Query, description = "`hour`, `day` (the default) or `month`."),
        ("from" = Option<String>, Query, description = "First hour; by default the oldest one retained."),
        ("to" = Option<String>, Query, description = "End of the range; by default now."),
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

/// Returns the number of uses of each key of a project per hour, day or month, oldest first.
///
/// A key is omitted from periods in which it was not used. A response contains at most 100,000 totals.
#[utoipa::path(
    get, path = "/analytics/api-key-totals", operation_id = "getApiKeyTotals", tag = "analytics",
    params(
        ("projectId" = Option<String>, Query, description = "Optional with an access key that is limited to a project."),
        ("dateGrouping" = Option<String>, Query, description = "`hour`, `day` (the default) or `month`."),
        ("from" = Option<String>, Query, description = "First hour; by default the oldest one retained."),
        ("to" = Option<String>, Query, description = "End of the range; by default now."),
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

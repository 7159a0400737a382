//! Usage of one key, and the keys with the most uses.

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{ControlPlane, DEFAULT_TOP_KEYS, Failure, KeyRef, KeyUsage, MAX_TOP_KEYS, RequestContext};
use gatepost_domain::id::KeyId;
use gatepost_domain::usage::Grouping;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::extract::query::{PathId, QueryParams};
use crate::api::respond::problem::Result;

/// Uses of one key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyUsageBody {
    /// Id of the key.
    api_key_id: String,
    /// Project of the key.
    project_id: String,
    /// Number of uses in all of `totals`.
    total: u64,
    /// Uses per hour, day or month, oldest first. Periods without uses are omitted.
    totals: Vec<PeriodTotal>,
}

/// Number of uses in one period.
#[derive(Serialize, ToSchema)]
pub(crate) struct PeriodTotal {
    /// Start of the hour, day or month, in UTC.
    #[schema(example = "2026-11-25T00:00:00.000Z")]
    date: String,
    /// Number of accepted requests, at gateways and at the key check of this API.
    total: u64,
}

/// A key and its number of uses.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopApiKey {
    /// Id of the key.
    api_key_id: String,
    /// Project of the key.
    project_id: String,
    /// Number of accepted requests, at gateways and at the key check of this API.
    total: u64,
}

impl From<KeyUsage> for KeyUsageBody {
    fn from(KeyUsage { key, totals }: KeyUsage) -> Self {
        Self {
            api_key_id: key.id.to_string(),
            project_id: key.project.to_string(),
            total: totals.iter().map(|total| total.count).sum(),
            totals: totals
                .into_iter()
                .map(|total| PeriodTotal { date: total.start.to_string(), total: total.count })
                .collect(),
        }
    }
}

/// Returns the number of uses of one key per hour, day or month.
///
/// By default, counts older than 7 days are kept by the day, and those older than 90 days by the month.
#[utoipa::path(
    get, path = "/api-keys/{key}/usage", operation_id = "getApiKeyUsage", tag = "analytics",
    params(
        ("key" = String, Path),
        ("dateGrouping" = Option<String>, Query, description = "`hour`, `day` (the default) or `month`."),
        ("from" = Option<String>, Query, description = "First hour; by default the oldest one retained."),
        ("to" = Option<String>, Query, description = "End of the range; by default now."),
    ),
    responses((status = 200, body = KeyUsageBody), (status = 400), (status = 401), (status = 404), (status = 503))
)]
pub(crate) async fn of_key(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(key): PathId,
    query: QueryParams,
) -> Result<Json<KeyUsageBody>> {
    let invalid = || Failure::invalid("dateGrouping: must be hour, day or month");
    let grouping = query.non_null("dateGrouping").map(|text| Grouping::parse(&text).ok_or_else(invalid)).transpose()?;
    let (from, to) = (query.time("from")?, query.time("to")?);
    let grouping = grouping.unwrap_or(Grouping::Day);
    Ok(Json(control_plane.key_usage(&context, &KeyRef::parse(&key), grouping, from, to).await?.into()))
}

/// Returns the keys of a project with the most uses, in a time range of up to 7 days.
#[utoipa::path(
    get, path = "/analytics/top-api-keys", operation_id = "getTopApiKeys", tag = "analytics",
    params(
        ("projectId" = Option<String>, Query, description = "Optional with an access key that is limited to a project."),
        ("from" = Option<String>, Query, description = "First hour; by default 24 hours ago."),
        ("to" = Option<String>, Query, description = "End of the range; by default now."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Number of keys; by default 10", example = 10),
    ),
    responses((status = 200, body = [TopApiKey]), (status = 400), (status = 401), (status = 404), (status = 503))
)]
pub(crate) async fn top(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    query: QueryParams,
) -> Result<Json<Vec<TopApiKey>>> {
    let (from, to) = (query.time("from")?, query.time("to")?);
    let limit = query.page_limit(MAX_TOP_KEYS)?.unwrap_or(DEFAULT_TOP_KEYS);
    let named = query.non_null("projectId");
    let (project, keys) = control_plane.top_keys(&context, named.as_deref(), from, to, limit).await?;
    let body =
        |(key, total): (KeyId, u64)| TopApiKey { api_key_id: key.to_string(), project_id: project.to_string(), total };
    Ok(Json(keys.into_iter().map(body).collect()))
}

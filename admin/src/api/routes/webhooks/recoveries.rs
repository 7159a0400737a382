//! `/webhooks/{id}/recover` and `/webhooks/{id}/recoveries`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use gatepost_control_plane::{ControlPlane, RecoveryRequest, RequestContext};
use gatepost_domain::change::Topic;
use gatepost_domain::time::Timestamp;
use gatepost_store::RecoveryJob;
use http::StatusCode;
use http::header::LOCATION;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::extract::body::JsonBody;
use crate::api::extract::query::PathId;
use crate::api::respond::problem::Result;

/// Deliveries to send again.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoverWebhook {
    /// Only deliveries created at this time or later.
    #[schema(value_type = String)]
    since: Option<String>,
    /// Only deliveries created before this time.
    #[schema(example = "2026-11-26T10:00:00.000Z")]
    until: Option<String>,
    /// Only deliveries of these topics; by default of all.
    topics: Option<Vec<String>>,
    /// `dead`: deliveries that were given up; `dropped`: deliveries that were not made, because the webhook was paused;
    /// `all`: both; `failed`: deliveries that wait for their next attempt, which becomes due at once.
    #[schema(value_type = String, example = "dead")]
    status: Option<String>,
}

/// A recovery that was started.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoveryStartedBody {
    /// Id of the recovery.
    recovery_id: String,
    /// Number of deliveries that it will send again.
    total: u64,
}

/// A recovery and its progress.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoveryBody {
    /// Id of the recovery.
    recovery_id: String,
    /// `running`, `finished` or `cancelled`.
    #[schema(example = "running")]
    status: &'static str,
    /// Number of deliveries to send again, as counted at the start.
    total: u64,
    /// Number of deliveries that are in the queue or have been sent.
    recovered: u64,
    /// Number of deliveries that could not be sent again: their events are no longer kept, or they were sent again
    /// otherwise.
    skipped: u64,
    /// Time of the start.
    created_at: String,
    /// Time of the end; null while it is running.
    finished_at: Option<String>,
    /// The deliveries that it selects.
    filter: RecoveryFilterBody,
}

/// The deliveries that a recovery selects.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoveryFilterBody {
    /// `dead`, `dropped`, `all` or `failed`.
    #[schema(example = "dead")]
    status: &'static str,
    /// Created at this time or later.
    since: String,
    /// Created before this time.
    #[schema(example = "2026-11-26T10:00:00.000Z")]
    until: Option<String>,
    /// Of these topics; null for all.
    topics: Option<Vec<&'static str>>,
}

/// Recoveries, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoveriesBody {
    /// The recoveries.
    recoveries: Vec<RecoveryBody>,
    /// Always null: there are at most 10.
    next: Option<String>,
    /// Always false.
    has_more: bool,
}

/// Sends dead and dropped deliveries again, or those that wait at once, as a job.
///
/// Deliverers enqueue the deliveries in small parts, so that new events are not delayed: each gets a fresh schedule. A
/// dropped delivery is rebuilt from its event, with a mask in place of the key's value. A failed delivery, which waits for
/// its next attempt, becomes due at once and keeps its schedule. The job waits while the webhook is paused, and continues
/// after a restart. 409 while another one of the webhook is running, and if the webhook is disabled, or paused and drops
/// its events.
#[utoipa::path(
    post, path = "/webhooks/{id}/recover", operation_id = "recoverWebhook", tag = "webhooks",
    params(("id" = String, Path)), request_body = RecoverWebhook,
    responses((status = 202, body = RecoveryStartedBody), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409))
)]
pub(crate) async fn start(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(webhook): PathId,
    JsonBody(request): JsonBody<RecoverWebhook>,
) -> Result<Response> {
    let job = control_plane.start_recovery(&context, &webhook, &request.into()).await?;
    let location = format!("/webhooks/{webhook}/recoveries/{}", job.id);
    let body = RecoveryStartedBody { recovery_id: job.id.to_string(), total: job.total };
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(body)).into_response())
}

/// Lists the recoveries of a webhook, newest first.
///
/// They are kept for 7 days after their end, and 10 of them.
#[utoipa::path(
    get, path = "/webhooks/{id}/recoveries", operation_id = "listRecoveries", tag = "webhooks",
    params(("id" = String, Path)),
    responses((status = 200, body = RecoveriesBody), (status = 401), (status = 404))
)]
pub(crate) async fn list(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(webhook): PathId,
) -> Result<Json<RecoveriesBody>> {
    let jobs = control_plane.recoveries(&context, &webhook).await?;
    let recoveries = jobs.into_iter().map(RecoveryBody::from).collect();
    Ok(Json(RecoveriesBody { recoveries, next: None, has_more: false }))
}

/// Returns the progress of a recovery.
#[utoipa::path(
    get, path = "/webhooks/{id}/recoveries/{recoveryId}", operation_id = "getRecovery", tag = "webhooks",
    params(("id" = String, Path), ("recoveryId" = String, Path)),
    responses((status = 200, body = RecoveryBody), (status = 401), (status = 404))
)]
pub(crate) async fn get(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    Path((webhook, id)): Path<(String, String)>,
) -> Result<Json<RecoveryBody>> {
    Ok(Json(control_plane.recovery_job(&context, &webhook, &id).await?.into()))
}

/// Cancels a recovery.
///
/// What it has enqueued is sent nevertheless. One that has ended stays as it is.
#[utoipa::path(
    delete, path = "/webhooks/{id}/recoveries/{recoveryId}", operation_id = "cancelRecovery", tag = "webhooks",
    params(("id" = String, Path), ("recoveryId" = String, Path)),
    responses((status = 200, body = RecoveryBody), (status = 401), (status = 403), (status = 404))
)]
pub(crate) async fn cancel(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    Path((webhook, id)): Path<(String, String)>,
) -> Result<Json<RecoveryBody>> {
    Ok(Json(control_plane.cancel_recovery(&context, &webhook, &id).await?.into()))
}

impl From<RecoverWebhook> for RecoveryRequest {
    fn from(body: RecoverWebhook) -> Self {
        Self { since: body.since, until: body.until, topics: body.topics, status: body.status }
    }
}

impl From<RecoveryJob> for RecoveryBody {
    fn from(job: RecoveryJob) -> Self {
        let topics = job.filter.topics.as_ref();
        Self {
            recovery_id: job.id.to_string(),
            status: job.status.as_str(),
            total: job.total,
            recovered: job.recovered,
            skipped: job.skipped,
            created_at: job.created_at.to_string(),
            finished_at: job.finished_at.as_ref().map(Timestamp::to_string),
            filter: RecoveryFilterBody {
                status: job.filter.kinds.as_str(),
                since: job.filter.since.to_string(),
                until: job.filter.until.as_ref().map(Timestamp::to_string),
                topics: topics.map(|topics| topics.iter().map(|topic| Topic::as_str(*topic)).collect()),
            },
        }
    }
}

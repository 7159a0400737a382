//! `/webhooks/{id}/deliveries`, `/webhooks/{id}/stats` and `/events/{cursor}/deliveries`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use gatepost_control_plane::{
    ControlPlane, DEFAULT_DELIVERIES, DeliveryDetails, DeliveryFilter, DeliveryLimits, DeliveryStatus, DeliveryView,
    Failure, MAX_DELIVERIES, PAUSE_REASON, RequestContext, Rest, ScanTime, WebhookDelivery,
};
use gatepost_domain::change::Topic;
use gatepost_domain::time::Timestamp;
use gatepost_store::{AttemptRecord, WebhookNumbers};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::extract::body::NoBody;
use crate::api::extract::query::{PathId, QueryParams};
use crate::api::respond::problem::Result;
use crate::http::changes::parse_path_cursor;
use crate::http::webhook_requests::{RESPONSE_OMITTED, RebuiltRequest, rebuild_request};

/// Deliveries, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveriesBody {
    /// The deliveries.
    deliveries: Vec<DeliveryBody>,
    /// Cursor to pass as `after` in the next request; null if there are no more.
    next: Option<String>,
    /// Whether there may be more. A page may have fewer deliveries than `limit`, or none, although there are more.
    has_more: bool,
}

/// One event for one webhook.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryBody {
    /// Id of the event, sent as `webhook-id`.
    event_id: String,
    /// Topic of the event; null if it cannot be read.
    #[serde(rename = "type")]
    kind: Option<&'static str>,
    /// `pending`: waits for its first attempt; `inFlight`: is being sent; `delivered`; `failed`: waits for its next
    /// attempt; `dead`: was given up; `dropped`: was not made, because the webhook was paused; `paused`: waits until the
    /// webhook is live again.
    #[schema(example = "failed")]
    status: &'static str,
    /// Number of attempts since it was created, or sent again with a fresh schedule.
    attempts: u32,
    /// HTTP status of the last attempt; null if there was no response.
    last_status: Option<u16>,
    /// Why the delivery was given up, or the last attempt failed.
    last_error: Option<String>,
    /// Time of the last attempt.
    last_attempt_at: Option<String>,
    /// Time of the next attempt, not before the end of a pause that the receiver asked for; null while the webhook is
    /// paused or disabled.
    next_attempt_at: Option<String>,
    /// Time at which the delivery was first created. Sending it again does not change it.
    created_at: String,
}

/// The deliveries of one change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventDeliveriesBody {
    /// The deliveries, one for each webhook at most.
    deliveries: Vec<EventDeliveryBody>,
}

/// A delivery with the id of its webhook.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventDeliveryBody {
    /// Id of the webhook.
    webhook_id: String,
    #[serde(flatten)]
    delivery: DeliveryBody,
}

/// A delivery with its request and its attempts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryDetailsBody {
    #[serde(flatten)]
    delivery: DeliveryBody,
    /// The request, rebuilt with masked values; null if the event is no longer kept.
    request: Option<RequestBody>,
    /// Attempts that are kept, oldest first.
    history: Vec<AttemptBody>,
    /// Earliest times of the attempts that are left, soonest first, if each of them fails. Empty unless the delivery waits.
    upcoming: Vec<String>,
}

/// The request of a delivery, without secrets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestBody {
    /// HTTP method.
    #[schema(example = "POST")]
    method: String,
    /// URL without path and query.
    url: String,
    /// Headers, with masked values where they may be secret.
    headers: BTreeMap<String, String>,
    /// Body, with the mask of a key's value where it contained the value.
    body: Value,
}

/// One attempt of a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptBody {
    /// Number of the attempt, from 1. Numbering continues when a delivery is sent again.
    number: u32,
    /// Time at which it started.
    at: String,
    /// `delivered`, `failed`, or `gone` (the receiver responded with 410).
    #[schema(example = "failed")]
    outcome: &'static str,
    /// HTTP status; null if there was no response.
    #[schema(example = 503)]
    status: Option<u16>,
    /// What failed.
    error: Option<String>,
    /// `dns`, `refused`, `reset`, `tls`, `timeout`, `blocked`, `status` or `protocol`.
    #[schema(example = "status")]
    error_class: Option<String>,
    /// Duration in milliseconds.
    duration_ms: u64,
    /// What is kept of the response to a failed attempt, without secrets.
    response: Option<ResponseBody>,
    /// Why nothing is kept of a response; null if something is, or if there was none.
    response_note: Option<&'static str>,
}

/// What is kept of a response.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResponseBody {
    /// Some headers.
    headers: BTreeMap<String, String>,
    /// The start of the body, if it is text.
    #[schema(example = "try again later")]
    excerpt: Option<String>,
}

/// Numbers of a webhook.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatsBody {
    /// Deliveries that wait for an attempt: those that lists show as `pending`, `failed` or `paused`.
    pending: u64,
    /// Deliveries that are being sent.
    in_flight: u64,
    /// Deliveries that were given up.
    dead: u64,
    /// Deliveries that were not made, because the webhook was paused.
    dropped: u64,
    /// Time until which nothing is sent, because the receiver asked for that; null if it did not.
    paused_until: Option<String>,
    /// Why nothing is sent until `pausedUntil`.
    pause_reason: Option<&'static str>,
    /// Time from which the longest waiting delivery has been due, or the next one will be.
    oldest_due_at: Option<String>,
    /// Attempts that succeeded, in the last 24 full hours and the current one.
    #[serde(rename = "delivered24h")]
    delivered_24h: u64,
    /// Attempts that failed, in the last 24 full hours and the current one.
    #[serde(rename = "failed24h")]
    failed_24h: u64,
}

/// Lists deliveries of a webhook, newest first.
///
/// Delivered ones are kept for 7 days, and 1,000 of them; dropped ones for 7 days, and 10,000 of them; dead ones for 30
/// days, and 10,000 of them.
#[utoipa::path(
    get, path = "/webhooks/{id}/deliveries", operation_id = "listDeliveries", tag = "webhooks",
    params(
        ("id" = String, Path),
        ("status" = Option<String>, Query, description = "Only deliveries of this status", example = "failed"),
        ("type" = Option<String>, Query, description = "Only deliveries of this topic", example = "api-key.created"),
        ("since" = Option<String>, Query, description = "Only deliveries created at this time or later",
            example = "2026-11-25T10:00:00.000Z"),
        ("until" = Option<String>, Query, description = "Only deliveries created before this time",
            example = "2026-11-26T10:00:00.000Z"),
        ("after" = Option<String>, Query, description = "`next` of the previous page", example = "q83v"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of deliveries; by default 100",
            example = 100),
    ),
    responses((status = 200, body = DeliveriesBody), (status = 400), (status = 401), (status = 404))
)]
pub(crate) async fn list(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    Path(id): Path<String>,
    query: QueryParams,
) -> Result<Json<DeliveriesBody>> {
    let filter = DeliveryFilter {
        status: parse_choice(&query, "status", &DeliveryStatus::ALL, DeliveryStatus::as_str)?,
        topic: parse_choice(&query, "type", Topic::ALL, Topic::as_str)?,
        since: parse_time(&query, "since")?,
        until: parse_time(&query, "until")?,
    };
    let limit = query.page_limit(MAX_DELIVERIES)?.unwrap_or(DEFAULT_DELIVERIES);
    let limits = DeliveryLimits { deliveries: limit, time: ScanTime::Unlimited };
    let page = control_plane.deliveries(&context, &id, &filter, query.non_null("after").as_deref(), limits).await?;
    Ok(Json(DeliveriesBody {
        deliveries: page.deliveries.iter().map(DeliveryBody::from).collect(),
        next: page.next.filter(|_| page.rest == Rest::More),
        has_more: page.rest == Rest::More,
    }))
}

/// Returns a delivery with its request and its attempts.
#[utoipa::path(
    get, path = "/webhooks/{id}/deliveries/{eventId}", operation_id = "getDelivery", tag = "webhooks",
    params(("id" = String, Path), ("eventId" = String, Path)),
    responses((status = 200, body = DeliveryDetailsBody), (status = 401), (status = 404))
)]
pub(crate) async fn get(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    Path((id, event)): Path<(String, String)>,
) -> Result<Json<DeliveryDetailsBody>> {
    Ok(Json(control_plane.delivery(&context, &id, &event).await?.into()))
}

/// Sends a delivery again, whatever its state.
///
/// A dead one gets a fresh schedule, and one that waits is sent at once, which is one of its attempts. One that was
/// delivered or dropped is rebuilt from its event, without the key's value, which is no longer kept. If the webhook is
/// paused and keeps its events, the delivery waits until it is live. 409 while it is being sent, if its event is no longer
/// kept, and if the webhook is disabled, or paused and drops its events: then nothing is changed.
#[utoipa::path(
    post, path = "/webhooks/{id}/deliveries/{eventId}/resend", operation_id = "resendDelivery", tag = "webhooks",
    params(("id" = String, Path), ("eventId" = String, Path)),
    responses((status = 202, description = "It is sent again", body = DeliveryBody), (status = 401), (status = 403), (status = 404), (status = 409))
)]
pub(crate) async fn resend(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    Path((id, event)): Path<(String, String)>,
    _: NoBody,
) -> Result<(StatusCode, Json<DeliveryBody>)> {
    let view = control_plane.resend_delivery(&context, &id, &event).await?;
    Ok((StatusCode::ACCEPTED, Json((&view).into())))
}

/// Lists the deliveries that a change caused, in the order of their webhooks.
///
/// Empty before the change is fanned out, if no webhook receives its topic, and once they are no longer kept. Deliveries of
/// deleted webhooks are not listed.
#[utoipa::path(
    get, path = "/events/{cursor}/deliveries", operation_id = "listEventDeliveries", tag = "webhooks",
    params(("cursor" = String, Path, description = "`cursor` of the change", example = "1860000000000000000")),
    responses((status = 200, body = EventDeliveriesBody), (status = 401), (status = 404), (status = 503))
)]
pub(crate) async fn of_event(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(cursor): PathId,
) -> Result<Json<EventDeliveriesBody>> {
    let change = control_plane.change_at(&context, &parse_path_cursor(&cursor)?).await?;
    let found = control_plane.deliveries_of_change(&context, &change).await?;
    Ok(Json(EventDeliveriesBody { deliveries: found.iter().map(EventDeliveryBody::from).collect() }))
}

/// Returns the numbers of a webhook.
#[utoipa::path(
    get, path = "/webhooks/{id}/stats", operation_id = "getWebhookStats", tag = "webhooks",
    params(("id" = String, Path)),
    responses((status = 200, body = StatsBody), (status = 401), (status = 404))
)]
pub(crate) async fn stats(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(id): PathId,
) -> Result<Json<StatsBody>> {
    Ok(Json(control_plane.webhook_numbers(&context, &id).await?.into()))
}

/// Parses a parameter that is one of several names.
fn parse_choice<T: Copy>(
    query: &QueryParams,
    name: &str,
    all: &[T],
    as_str: impl Fn(T) -> &'static str,
) -> Result<Option<T>> {
    let Some(text) = query.non_null(name) else { return Ok(None) };
    let found = all.iter().copied().find(|one| as_str(*one) == text);
    let known = || all.iter().map(|one| as_str(*one)).collect::<Vec<_>>().join(", ");
    Ok(Some(found.ok_or_else(|| Failure::invalid(format!("{name}: {text:?} is not one of {}", known())))?))
}

fn parse_time(query: &QueryParams, name: &str) -> Result<Option<Timestamp>> {
    let Some(text) = query.non_null(name) else { return Ok(None) };
    let time = Timestamp::parse(&text).map_err(|error| Failure::invalid(format!("{name}: {error}")))?;
    Ok(Some(time))
}

impl From<&DeliveryView> for DeliveryBody {
    fn from(view: &DeliveryView) -> Self {
        let delivery = &view.delivery;
        let last = delivery.last_attempt.as_ref();
        Self {
            event_id: delivery.event_id.to_string(),
            kind: delivery.action.and_then(|action| action.topic()).map(Topic::as_str),
            status: view.status.as_str(),
            attempts: delivery.attempts,
            last_status: last.and_then(|last| last.status),
            last_error: delivery.reason.clone().or_else(|| last.and_then(|last| last.error.clone())),
            last_attempt_at: last.map(|last| last.at.to_string()),
            next_attempt_at: delivery.next_attempt_at.map(|at| at.to_string()),
            created_at: delivery.created_at.to_string(),
        }
    }
}

impl From<&WebhookDelivery> for EventDeliveryBody {
    fn from(found: &WebhookDelivery) -> Self {
        Self { webhook_id: found.webhook.id.to_string(), delivery: (&found.view).into() }
    }
}

impl From<DeliveryDetails> for DeliveryDetailsBody {
    fn from(details: DeliveryDetails) -> Self {
        Self {
            request: details.event.as_ref().map(|event| rebuild_request(&details, event).into()),
            delivery: (&details.view).into(),
            history: details.history.iter().map(|attempt| AttemptBody::new(&details, attempt)).collect(),
            upcoming: details.upcoming.iter().map(Timestamp::to_string).collect(),
        }
    }
}

impl From<RebuiltRequest> for RequestBody {
    fn from(request: RebuiltRequest) -> Self {
        let RebuiltRequest { method, url, headers, body } = request;
        Self { method, url, headers, body }
    }
}

impl AttemptBody {
    fn new(details: &DeliveryDetails, attempt: &AttemptRecord) -> Self {
        let note = details.is_response_omitted(attempt).then_some(RESPONSE_OMITTED);
        let attempt = attempt.clone();
        Self {
            response_note: note,
            number: attempt.number.number(),
            at: attempt.at.to_string(),
            outcome: attempt.outcome.as_str(),
            status: attempt.status,
            error: attempt.error,
            error_class: attempt.error_class,
            duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
            response: attempt.response.map(|response| ResponseBody {
                headers: response.headers.into_iter().collect(),
                excerpt: response.excerpt,
            }),
        }
    }
}

impl From<WebhookNumbers> for StatsBody {
    fn from(numbers: WebhookNumbers) -> Self {
        Self {
            pending: numbers.waiting,
            in_flight: numbers.in_flight,
            dead: numbers.dead,
            dropped: numbers.dropped,
            paused_until: numbers.held_until.map(|until| until.to_string()),
            pause_reason: numbers.held_until.map(|_| PAUSE_REASON),
            oldest_due_at: numbers.oldest_due_at.map(|at| at.to_string()),
            delivered_24h: numbers.delivered_last_day,
            failed_24h: numbers.failed_last_day,
        }
    }
}

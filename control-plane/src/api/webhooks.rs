//! `/webhooks`.

mod schemas;

use axum::Json;
use axum::extract::State;
use gatepost_domain::change::Topic;
use gatepost_domain::key::Secret;
use gatepost_domain::record::Status;
use gatepost_wire::WebhookBody;
use http::StatusCode;

use super::extractors::{PathId, QueryParams};
use super::paging::{self, PageResponse};
use super::request_body::{JsonBody, OptionalBody};
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::Result;
use crate::use_cases::lists::ListPage;
use crate::use_cases::webhooks::{RevealedWebhook, WebhookFilter};
use schemas::{CreateWebhook, PingBody, PingWebhook, RotateSecret, UpdateWebhook};

/// Makes a webhook. Its signing secret is told only in this answer, as is a static token.
#[utoipa::path(
    post, path = "/webhooks", operation_id = "createWebhook", tag = "webhooks", request_body = CreateWebhook,
    responses((status = 201, body = WebhookBody), (status = 400), (status = 401), (status = 403), (status = 409))
)]
pub(super) async fn create(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    JsonBody(new): JsonBody<CreateWebhook>,
) -> Result<(StatusCode, Json<WebhookBody>)> {
    let created = control_plane.create_webhook(&caller, new.try_into()?).await?;
    Ok((StatusCode::CREATED, Json(revealed_body(&control_plane, &caller, &created)?)))
}

/// Lists the topics that webhooks may ask for.
#[utoipa::path(
    get, path = "/webhooks/topics", operation_id = "listWebhookTopics", tag = "webhooks", responses((status = 200, body = [String]), (status = 401))
)]
pub(super) async fn topics(_: Caller) -> Json<Vec<&'static str>> {
    Json(Topic::ALL.iter().map(|topic| topic.as_str()).collect())
}

/// Sends a request, once and without a signature, to see whether a webhook at that address would be reached. An address
/// that webhooks may not have is a 400; whatever else comes of it is a 200 that tells. An account may send ten at once
/// and then one every six seconds.
#[utoipa::path(
    post, path = "/webhooks/ping", operation_id = "pingWebhook", tag = "webhooks", request_body = PingWebhook,
    responses((status = 200, body = PingBody), (status = 400), (status = 401), (status = 403), (status = 429))
)]
pub(super) async fn ping(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    JsonBody(request): JsonBody<PingWebhook>,
) -> Result<Json<PingBody>> {
    Ok(Json(control_plane.ping(&caller, request.try_into()?).await?.into()))
}

/// Lists webhooks, in order of creation.
#[utoipa::path(
    get, path = "/webhooks", operation_id = "listWebhooks", tag = "webhooks",
    params(
        ("accountId" = Option<String>, Query), ("projectId" = Option<String>, Query),
        ("topic" = Option<String>, Query),
        ("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query), ("after" = Option<String>, Query),
    ),
    responses((status = 200, body = [WebhookBody]), (status = 400), (status = 401), (status = 403))
)]
pub(super) async fn list(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    query: QueryParams,
) -> Result<PageResponse<WebhookBody>> {
    let filter = WebhookFilter {
        account: query.non_null("accountId"),
        project: query.non_null("projectId"),
        topic: query.non_null("topic"),
    };
    let page = control_plane.webhooks(&caller, &filter, &paging::parse_page_request(&query)?).await?;
    let bodies = page.items.iter().map(|webhook| control_plane.webhook_body(&caller, webhook));
    Ok(paging::page_response(&query, ListPage { items: bodies.collect::<Result<_>>()?, next: page.next }))
}

/// Reads a webhook.
#[utoipa::path(
    get, path = "/webhooks/{id}", operation_id = "getWebhook", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = WebhookBody), (status = 401), (status = 404))
)]
pub(super) async fn get(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Json<WebhookBody>> {
    let found = control_plane.webhook(&caller, &id).await?;
    Ok(Json(control_plane.webhook_body(&caller, &found.record)?))
}

/// Changes a webhook; what is left out stays as it is. With `status` it is paused and goes on. A copy of the webhook may
/// be sent back as it was read. Whoever is no admin and
/// changes where events go makes the webhook their own: it sees ids in the place of values from then on.
#[utoipa::path(
    patch, path = "/webhooks/{id}", operation_id = "updateWebhook", tag = "webhooks", params(("id" = String, Path)), request_body = UpdateWebhook,
    responses((status = 200, body = WebhookBody), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409))
)]
pub(super) async fn update(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    PathId(id): PathId,
    JsonBody(change): JsonBody<UpdateWebhook>,
) -> Result<Json<WebhookBody>> {
    let changed = control_plane.update_webhook(&caller, &id, change.into()).await?;
    Ok(Json(revealed_body(&control_plane, &caller, &changed)?))
}

/// Draws a new signing secret, which is told only in this answer. Until the overlap is over, requests are signed with
/// the old one as well.
#[utoipa::path(
    post, path = "/webhooks/{id}/rotate-secret", operation_id = "rotateWebhookSecret", tag = "webhooks", params(("id" = String, Path)),
    request_body = Option<RotateSecret>,
    responses((status = 200, body = WebhookBody), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409))
)]
pub(super) async fn rotate_secret(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    PathId(id): PathId,
    OptionalBody(request): OptionalBody<RotateSecret>,
) -> Result<Json<WebhookBody>> {
    let rotated = control_plane.rotate_webhook_secret(&caller, &id, request.overlap_seconds).await?;
    Ok(Json(revealed_body(&control_plane, &caller, &rotated)?))
}

/// Removes a webhook. What waits to be sent to it is dropped.
#[utoipa::path(
    delete, path = "/webhooks/{id}", operation_id = "deleteWebhook", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = bool, content_type = "application/json"), (status = 401), (status = 403), (status = 404))
)]
pub(super) async fn delete(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Json<bool>> {
    control_plane.delete_webhook(&caller, &id).await?;
    Ok(Json(true))
}

/// Writes a webhook with the secrets that only this answer has.
fn revealed_body(control_plane: &ControlPlane, caller: &Caller, revealed: &RevealedWebhook) -> Result<WebhookBody> {
    let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    Ok(WebhookBody {
        secret: text(&revealed.secret),
        theauthapi_token: text(&revealed.static_token),
        is_active: revealed.activity == Status::Active,
        ..control_plane.webhook_body(caller, &revealed.webhook)?
    })
}

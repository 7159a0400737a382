//! `/webhooks`.

pub(crate) mod deliveries;
pub(crate) mod recoveries;
mod schemas;

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{Caller, ControlPlane, ListPage, RequestContext, WebhookFilter, WebhookScope};
use gatepost_domain::change::Topic;
use gatepost_domain::id::EventId;
use gatepost_store::os_rng;
use gatepost_wire::WebhookResource;

use crate::api::extract::body::{JsonBody, OptionalBody, PatchBody};
use crate::api::extract::query::{PathId, QueryParams};
use crate::api::respond::page::{self, PageResponse};
use crate::api::respond::problem::Result;
use crate::api::respond::resource::ResourceResponse;
use crate::api::respond::webhook_resource::{
    revealed_webhook_resource, webhook_resource, webhook_with_secret, with_pause,
};
use crate::http::webhook_requests::encode_sample;
use schemas::{CreateWebhook, PingBody, PingWebhook, RotateSecret, TestBody, TestWebhook, UpdateWebhook};

/// Creates a webhook. Only this response contains its signing secret and its static token, if any.
#[utoipa::path(
    post, path = "/webhooks", operation_id = "createWebhook", tag = "webhooks", request_body = CreateWebhook,
    responses((status = 201, body = WebhookResource), (status = 400), (status = 401), (status = 403), (status = 409))
)]
pub(crate) async fn create(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    JsonBody(new): JsonBody<CreateWebhook>,
) -> Result<ResourceResponse<WebhookResource>> {
    let created = control_plane.create_webhook(&context, new.try_into()?).await?;
    let body = revealed_webhook_resource(&control_plane, &context, &created)?;
    Ok(ResourceResponse::new(created.webhook.position, body).created())
}

/// Lists the topics that webhooks can subscribe to.
#[utoipa::path(
    get, path = "/webhooks/topics", operation_id = "listWebhookTopics", tag = "webhooks", responses((status = 200, body = [String]), (status = 401))
)]
pub(crate) async fn topics(_: Caller) -> Json<Vec<&'static str>> {
    Json(Topic::ALL.iter().map(|topic| topic.as_str()).collect())
}

/// Sends one unsigned request to test whether a webhook at that URL is reachable.
///
/// A URL that is not allowed for webhooks returns 400. Every other outcome returns 200 with the result. Rate limit per
/// account: a burst of ten requests, then one every six seconds.
#[utoipa::path(
    post, path = "/webhooks/ping", operation_id = "pingWebhook", tag = "webhooks", request_body = PingWebhook,
    responses((status = 200, body = PingBody), (status = 400), (status = 401), (status = 403), (status = 429))
)]
pub(crate) async fn ping(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    JsonBody(request): JsonBody<PingWebhook>,
) -> Result<Json<PingBody>> {
    let id = EventId::generate_in(context.caller.account.partition(), &mut os_rng());
    let ping = request.into_ping(id, control_plane.now())?;
    Ok(Json(control_plane.ping(&context, ping).await?.into()))
}

/// Lists webhooks in order of creation.
#[utoipa::path(
    get, path = "/webhooks", operation_id = "listWebhooks", tag = "webhooks",
    params(
        ("accountId" = Option<String>, Query), ("projectId" = Option<String>, Query),
        ("topic" = Option<String>, Query),
        ("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query), ("after" = Option<String>, Query),
    ),
    responses((status = 200, body = [WebhookResource]), (status = 400), (status = 401), (status = 403))
)]
pub(crate) async fn list(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    query: QueryParams,
) -> Result<PageResponse<WebhookResource>> {
    let filter = WebhookFilter {
        account: query.non_null("accountId"),
        scope: query.non_null("projectId").map(WebhookScope::Project),
        topic: query.non_null("topic"),
    };
    let list = control_plane.webhooks(&context, &filter, &page::parse_page_request(&query)?).await?;
    let bodies = list.items.iter().map(|webhook| webhook_resource(&control_plane, &context, webhook));
    Ok(page::page_response(
        &query,
        ListPage { items: bodies.collect::<gatepost_control_plane::Result<_>>()?, next: list.next },
    ))
}

/// Returns a webhook.
#[utoipa::path(
    get, path = "/webhooks/{id}", operation_id = "getWebhook", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = WebhookResource), (status = 401), (status = 404))
)]
pub(crate) async fn get(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(id): PathId,
) -> Result<ResourceResponse<WebhookResource>> {
    let found = control_plane.webhook(&context, &id).await?;
    let body = webhook_resource(&control_plane, &context, &found.record)?;
    Ok(ResourceResponse::new(found.position, with_pause(&control_plane, &found.record, body).await?))
}

/// Updates a webhook. Absent members are unchanged.
///
/// `status` pauses and resumes it. `"status": "live"` also ends a pause that the receiver asked for (`pausedUntil`),
/// unless the body repeats `pausedUntil`. `state` and the other members that only the server sets return 400 if they
/// differ from the webhook. The body may be an unmodified copy of the webhook from a response. If a caller who
/// is not an admin changes the destination, the webhook counts as that caller's own: from then on it receives ids in
/// place of key values.
#[utoipa::path(
    patch, path = "/webhooks/{id}", operation_id = "updateWebhook", tag = "webhooks", params(("id" = String, Path)), request_body = UpdateWebhook,
    responses((status = 200, body = WebhookResource), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409))
)]
pub(crate) async fn update(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(id): PathId,
    PatchBody { change, read_only }: PatchBody<UpdateWebhook>,
) -> Result<ResourceResponse<WebhookResource>> {
    if !read_only.is_empty() {
        let found = control_plane.webhook(&context, &id).await?;
        let body = webhook_with_secret(&control_plane, &found.record)?;
        read_only.check(&with_pause(&control_plane, &found.record, body).await?)?;
    }
    let changed = control_plane.update_webhook(&context, &id, change.into()).await?;
    let body = revealed_webhook_resource(&control_plane, &context, &changed)?;
    let body = with_pause(&control_plane, &changed.webhook.record, body).await?;
    Ok(ResourceResponse::new(changed.webhook.position, body))
}

/// Generates a new signing secret. Only this response contains it.
///
/// Until the overlap ends, requests are also signed with the old secret.
#[utoipa::path(
    post, path = "/webhooks/{id}/rotate-secret", operation_id = "rotateWebhookSecret", tag = "webhooks", params(("id" = String, Path)),
    request_body = Option<RotateSecret>,
    responses((status = 200, body = WebhookResource), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409))
)]
pub(crate) async fn rotate_secret(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(id): PathId,
    OptionalBody(request): OptionalBody<RotateSecret>,
) -> Result<ResourceResponse<WebhookResource>> {
    let rotated = control_plane.rotate_webhook_secret(&context, &id, request.overlap_seconds).await?;
    let body = revealed_webhook_resource(&control_plane, &context, &rotated)?;
    Ok(ResourceResponse::new(rotated.webhook.position, body))
}

/// Sends a sample event to a webhook, once, to test its receiver.
///
/// URL, method, headers, signatures and static token are those of a delivery, also if the webhook is paused. The body has
/// `"test": true`, and names records that do not exist. The sample is not retried. Every outcome returns 200 with the
/// result. Rate limit per account, shared with pings: a burst of ten requests, then one every six seconds.
#[utoipa::path(
    post, path = "/webhooks/{id}/test", operation_id = "testWebhook", tag = "webhooks", params(("id" = String, Path)),
    request_body = Option<TestWebhook>,
    responses((status = 200, body = TestBody), (status = 400), (status = 401), (status = 403), (status = 404), (status = 429))
)]
pub(crate) async fn test(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(id): PathId,
    OptionalBody(request): OptionalBody<TestWebhook>,
) -> Result<Json<TestBody>> {
    let result = control_plane.test_webhook(&context, &id, request.topic.as_deref(), encode_sample).await?;
    Ok(Json(result.into()))
}

/// Deletes a webhook and drops its pending deliveries.
#[utoipa::path(
    delete, path = "/webhooks/{id}", operation_id = "deleteWebhook", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = bool, content_type = "application/json"), (status = 401), (status = 403), (status = 404))
)]
pub(crate) async fn delete(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(id): PathId,
) -> Result<Json<bool>> {
    control_plane.delete_webhook(&context, &id).await?;
    Ok(Json(true))
}

//! `/webhooks`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use gatepost_wire::WebhookBody;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::{JsonBody, Named, Query};
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::Result;
use crate::use_cases::webhooks::{NewWebhook, WebhookFilter};

/// A webhook to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateWebhook {
    /// Its name.
    #[schema(required)]
    name: Option<String>,
    /// The account; by default that of the access key.
    account_id: Option<String>,
    /// The only project whose events it gets; by default all of the account.
    project_id: Option<String>,
    /// Where events are sent: https, not into a private network.
    #[schema(required)]
    url: Option<String>,
    /// Which events, at least one topic.
    #[schema(required)]
    topics: Option<Vec<String>>,
    /// The HTTP method; `POST` by default.
    http_method: Option<String>,
    /// Headers that are added to each request.
    custom_headers: Option<BTreeMap<String, String>>,
    /// `live` (the default) or `paused`.
    status: Option<String>,
}

impl From<CreateWebhook> for NewWebhook {
    fn from(new: CreateWebhook) -> Self {
        Self {
            name: new.name,
            account: new.account_id,
            project: new.project_id,
            url: new.url,
            topics: new.topics.unwrap_or_default(),
            method: new.http_method,
            headers: new.custom_headers.unwrap_or_default(),
            status: new.status,
        }
    }
}

/// Makes a webhook. Its signing secret is told only in this answer.
#[utoipa::path(
    post, path = "/webhooks", tag = "webhooks", request_body = CreateWebhook,
    responses((status = 201, body = WebhookBody), (status = 400), (status = 401), (status = 403), (status = 409))
)]
pub(super) async fn create(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    JsonBody(new): JsonBody<CreateWebhook>,
) -> Result<(StatusCode, Json<WebhookBody>)> {
    let (webhook, secret) = control_plane.create_webhook(&caller, new.into()).await?;
    Ok((StatusCode::CREATED, Json(WebhookBody::new(&webhook, Some(&secret)))))
}

/// Lists webhooks.
#[utoipa::path(
    get, path = "/webhooks", tag = "webhooks",
    params(
        ("accountId" = Option<String>, Query), ("projectId" = Option<String>, Query),
        ("topic" = Option<String>, Query),
    ),
    responses((status = 200, body = [WebhookBody]), (status = 401), (status = 403))
)]
pub(super) async fn list(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    query: Query,
) -> Result<Json<Vec<WebhookBody>>> {
    let filter = WebhookFilter {
        account: query.name("accountId"),
        project: query.name("projectId"),
        topic: query.name("topic"),
    };
    let webhooks = control_plane.webhooks(&caller, &filter).await?;
    Ok(Json(webhooks.iter().map(|webhook| WebhookBody::new(webhook, None)).collect()))
}

/// Reads a webhook.
#[utoipa::path(
    get, path = "/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = WebhookBody), (status = 401), (status = 404))
)]
pub(super) async fn get(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    Named(id): Named,
) -> Result<Json<WebhookBody>> {
    let found = control_plane.webhook(&caller, &id).await?;
    Ok(Json(WebhookBody::new(&found.record, None)))
}

/// Removes a webhook. What waits to be sent to it is dropped.
#[utoipa::path(
    delete, path = "/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = bool), (status = 401), (status = 403), (status = 404))
)]
pub(super) async fn delete(
    State(control_plane): State<ControlPlane>,
    caller: Caller,
    Named(id): Named,
) -> Result<Json<bool>> {
    control_plane.delete_webhook(&caller, &id).await?;
    Ok(Json(true))
}

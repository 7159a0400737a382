//! Bodies of `/webhooks`.

use std::collections::BTreeMap;

use gatepost_control_plane::{
    Failure, NewWebhook, Patch, PingRequest, PingResult, Result, WebhookChange, status_of, token_request,
};
use gatepost_domain::retry_schedule::AttemptOutcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::patch;

/// A webhook to be made.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateWebhook {
    /// Its name.
    #[schema(value_type = String)]
    name: Option<String>,
    /// The account; by default that of the access key.
    account_id: Option<String>,
    /// The only project whose events it gets; by default all of the account.
    project_id: Option<String>,
    /// Where events are sent: https, not into a private network.
    #[schema(value_type = String)]
    url: Option<String>,
    /// Which events, at least one topic.
    #[schema(value_type = Vec<String>)]
    topics: Option<Vec<String>>,
    /// The HTTP method; `POST` by default.
    http_method: Option<String>,
    /// Headers that are added to each request.
    custom_headers: Option<BTreeMap<String, String>>,
    /// `live` (the default) or `paused`.
    status: Option<String>,
    /// Whether a static token is sent as `theauthapi-signature`, for receivers of the hosted product. It proves less
    /// than the signature, which is sent all the same.
    theauthapi_signature: Option<bool>,
    /// That token, of your own choice: 16 to 256 visible ASCII characters. By default one is drawn.
    theauthapi_token: Option<String>,
}

/// What shall change of a webhook.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateWebhook {
    /// False removes the webhook, as DELETE does.
    is_active: Option<bool>,
    /// The account of the webhook: another one is a 400.
    account_id: Option<String>,
    /// Its name.
    name: Option<String>,
    /// The only project whose events it gets; null for all of the account.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    project_id: Patch<String>,
    /// Where events are sent.
    url: Option<String>,
    /// Which events, at least one topic.
    topics: Option<Vec<String>>,
    /// The HTTP method.
    http_method: Option<String>,
    /// Headers that are added to each request, in the place of those before.
    custom_headers: Option<BTreeMap<String, String>>,
    /// `live` or `paused`.
    status: Option<String>,
    /// Whether a static token is sent as `theauthapi-signature`.
    theauthapi_signature: Option<bool>,
    /// That token, of your own choice.
    theauthapi_token: Option<String>,
}

/// A request to be sent.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PingWebhook {
    /// Where to: https, not into a private network.
    #[schema(value_type = String)]
    url: Option<String>,
    /// The HTTP method; `POST` by default.
    http_method: Option<String>,
    /// Its body, any JSON; by default an event of the type `ping`.
    #[schema(value_type = Value, required = false)]
    body: Option<Value>,
    /// Headers that are added.
    custom_headers: Option<BTreeMap<String, String>>,
    /// The same under another name.
    headers: Option<BTreeMap<String, String>>,
}

/// How a ping ended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PingBody {
    /// Its `webhook-id`.
    id: String,
    /// Whether the answer was a 2xx.
    delivered: bool,
    /// The answer's status; null if there was none.
    #[schema(example = 200)]
    status: Option<u16>,
    /// What went wrong; null if nothing did.
    error: Option<String>,
    /// How long it took.
    duration_ms: u64,
}

/// How a signing secret is rotated.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotateSecret {
    /// For how long requests are signed with the old secret as well: a day by default, at most a week. With 0 no old
    /// secret signs any more.
    pub(super) overlap_seconds: Option<u64>,
}

impl TryFrom<CreateWebhook> for NewWebhook {
    type Error = Failure;

    fn try_from(new: CreateWebhook) -> Result<Self> {
        Ok(Self {
            name: new.name,
            account: new.account_id,
            project: new.project_id,
            url: new.url,
            topics: new.topics.unwrap_or_default(),
            method: new.http_method,
            headers: new.custom_headers.unwrap_or_default(),
            status: new.status,
            static_token: token_request(new.theauthapi_signature, new.theauthapi_token)?,
        })
    }
}

impl From<UpdateWebhook> for WebhookChange {
    fn from(change: UpdateWebhook) -> Self {
        Self {
            activity: change.is_active.map(status_of),
            account: change.account_id,
            name: change.name,
            project: change.project_id,
            url: change.url,
            topics: change.topics,
            method: change.http_method,
            headers: change.custom_headers,
            status: change.status,
            is_token_sent: change.theauthapi_signature,
            token: change.theauthapi_token,
        }
    }
}

impl TryFrom<PingWebhook> for PingRequest {
    type Error = Failure;

    fn try_from(request: PingWebhook) -> Result<Self> {
        if request.headers.is_some() && request.custom_headers.is_some() && request.headers != request.custom_headers {
            return Err(Failure::invalid("headers: differs from customHeaders, which is the same under another name"));
        }
        Ok(Self {
            url: request.url,
            method: request.http_method,
            headers: request.custom_headers.or(request.headers).unwrap_or_default(),
            body: request.body.map(|body| body.to_string()),
        })
    }
}

impl From<PingResult> for PingBody {
    fn from(result: PingResult) -> Self {
        Self {
            id: result.id.to_string(),
            delivered: result.outcome == AttemptOutcome::Delivered,
            status: result.status,
            error: result.error,
            duration_ms: u64::try_from(result.took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

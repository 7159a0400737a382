//! Request and response bodies of `/webhooks`.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_control_plane::{
    DeliverySettingsPatch, Failure, NewWebhook, Patch, PingRequest, PingResult, Result, WebhookChange,
    WebhookTestResult, status_of, token_request,
};
use gatepost_domain::id::EventId;
use gatepost_domain::retry_schedule::AttemptOutcome;
use gatepost_domain::time::Timestamp;
use gatepost_store::RecordedOutcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::patch;
use crate::http::webhook_requests::encode_ping;

/// Webhook to create.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateWebhook {
    /// Name of the webhook.
    #[schema(value_type = String)]
    name: Option<String>,
    /// Account of the webhook; by default the account of the access key.
    account_id: Option<String>,
    /// The only project whose events it receives; by default the whole account.
    project_id: Option<String>,
    /// URL of the receiver: https, not in a private network.
    #[schema(value_type = String)]
    url: Option<String>,
    /// Topics to subscribe to, at least one.
    #[schema(value_type = Vec<String>)]
    topics: Option<Vec<String>>,
    /// The HTTP method; `POST` by default.
    http_method: Option<String>,
    /// Additional headers of each request.
    custom_headers: Option<BTreeMap<String, String>>,
    /// `live` (the default) or `paused`.
    status: Option<String>,
    /// Whether a static token is sent as `theauthapi-signature`, for receivers built for the hosted product. It is
    /// weaker proof than the signature, which is sent in any case.
    theauthapi_signature: Option<bool>,
    /// Your own static token: 16 to 256 visible ASCII characters. By default one is generated.
    theauthapi_token: Option<String>,
    /// Delays in whole seconds between the attempts of a delivery: 1 to 19, each at least 1, together at most a week
    /// (604800). By default 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h.
    #[schema(min_items = 1, max_items = 19)]
    retry_schedule: Option<Vec<u64>>,
    /// Maximum number of concurrent requests; 16 by default.
    #[schema(minimum = 1, maximum = 16)]
    max_in_flight: Option<u64>,
    /// Maximum number of requests per second; by default there is none.
    #[schema(minimum = 1, maximum = 1000)]
    rate_per_second: Option<u64>,
    /// Whether bodies contain the mask of a key where they would contain its value; false by default.
    omit_secrets: Option<bool>,
    /// Signatures of each request: `["v1"]` (the default), or `["v1", "v1a"]` for an Ed25519 signature too, which
    /// receivers verify with `publicKey`.
    signatures: Option<Vec<String>>,
    /// What happens to events while it is paused: `drop` (the default), or `keep`: they wait until it is live again.
    when_paused: Option<String>,
}

/// Changes to a webhook.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateWebhook {
    /// False deletes the webhook, as DELETE does.
    is_active: Option<bool>,
    /// Account of the webhook; a different one returns 400.
    account_id: Option<String>,
    /// Name of the webhook.
    name: Option<String>,
    /// The only project whose events it receives; null for the whole account.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    project_id: Patch<String>,
    /// URL of the receiver.
    url: Option<String>,
    /// Topics to subscribe to, at least one.
    topics: Option<Vec<String>>,
    /// The HTTP method.
    http_method: Option<String>,
    /// Additional headers of each request. They replace the existing ones.
    custom_headers: Option<BTreeMap<String, String>>,
    /// `live` or `paused`. `live` also ends a pause that the receiver asked for, unless `pausedUntil` is repeated.
    status: Option<String>,
    /// The value in the response, to keep the pause that the receiver asked for.
    paused_until: Option<String>,
    /// Whether a static token is sent as `theauthapi-signature`.
    theauthapi_signature: Option<bool>,
    /// Your own static token.
    theauthapi_token: Option<String>,
    /// Delays in whole seconds between the attempts of a delivery: 1 to 19, each at least 1, together at most a week
    /// (604800); null for the standard schedule.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<Vec<u64>>, min_items = 1, max_items = 19)]
    retry_schedule: Patch<Vec<u64>>,
    /// Maximum number of concurrent requests; null for 16.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 16)]
    max_in_flight: Patch<u64>,
    /// Maximum number of requests per second; null for no maximum.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    rate_per_second: Patch<u64>,
    /// Whether bodies contain the mask of a key where they would contain its value.
    omit_secrets: Option<bool>,
    /// Signatures of each request: `["v1"]`, or `["v1", "v1a"]` for an Ed25519 signature too. Without `v1a`, its key
    /// pair is forgotten.
    signatures: Option<Vec<String>>,
    /// What happens to events while it is paused: `drop`, or `keep`: they wait until it is live again.
    when_paused: Option<String>,
}

/// Test request to send.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PingWebhook {
    /// URL of the receiver: https, not in a private network.
    #[schema(value_type = String)]
    url: Option<String>,
    /// The HTTP method; `POST` by default.
    http_method: Option<String>,
    /// Request body, any JSON; by default an event of type `ping`.
    #[schema(value_type = Value, required = false)]
    body: Option<Value>,
    /// Additional headers of the request.
    custom_headers: Option<BTreeMap<String, String>>,
    /// The same as `customHeaders`, under another name.
    headers: Option<BTreeMap<String, String>>,
}

/// Result of a ping.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PingBody {
    /// `webhook-id` of the request.
    id: String,
    /// Whether the response status was 2xx.
    delivered: bool,
    /// HTTP status of the response; null if there was no response.
    #[schema(example = 200)]
    status: Option<u16>,
    /// Error message; null if there was no error.
    error: Option<String>,
    /// Class of the error: `dns`, `refused`, `reset`, `tls`, `timeout`, `blocked`, `status` or `protocol`; null if there
    /// was no error.
    error_class: Option<&'static str>,
    /// Duration in milliseconds.
    duration_ms: u64,
}

/// Sample event to send.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestWebhook {
    /// Topic of the sample, whether the webhook subscribes to it or not; by default the first that it subscribes to.
    pub(super) topic: Option<String>,
}

/// Result of a test.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestBody {
    /// `webhook-id` of the request.
    #[schema(example = "evt_00aZ3kT9cQmX1pLr7vWn5sYd")]
    id: String,
    /// Topic of the sample.
    topic: &'static str,
    /// `delivered`: the response status was 2xx. `gone`: it was 410. `failed`: it was another, or there was no response.
    #[schema(example = "delivered")]
    outcome: &'static str,
    /// HTTP status of the response; null if there was no response.
    #[schema(example = 200)]
    status: Option<u16>,
    /// Error message; null if there was no error.
    error: Option<String>,
    /// Class of the error: `dns`, `refused`, `reset`, `tls`, `timeout`, `blocked`, `status` or `protocol`; null if there
    /// was no error.
    error_class: Option<&'static str>,
    /// Duration in milliseconds.
    duration_ms: u64,
}

/// Options for rotating a signing secret.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotateSecret {
    /// Time in seconds for which requests are also signed with the old secret: one day by default, at most one week.
    /// With 0, no old secret is used any more.
    #[schema(minimum = 0, maximum = 604_800)]
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
            delivery: DeliverySettingsPatch {
                retry_schedule: Patch::from(new.retry_schedule),
                max_in_flight: Patch::from(new.max_in_flight),
                rate_per_second: Patch::from(new.rate_per_second),
                omit_secrets: new.omit_secrets,
                signatures: new.signatures,
                when_paused: new.when_paused,
            },
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
            paused_until: change.paused_until,
            is_token_sent: change.theauthapi_signature,
            token: change.theauthapi_token,
            delivery: DeliverySettingsPatch {
                retry_schedule: change.retry_schedule,
                max_in_flight: change.max_in_flight,
                rate_per_second: change.rate_per_second,
                omit_secrets: change.omit_secrets,
                signatures: change.signatures,
                when_paused: change.when_paused,
            },
        }
    }
}

impl PingWebhook {
    /// Returns the ping to send at a time.
    pub(super) fn into_ping(self, id: EventId, now: Timestamp) -> Result<PingRequest> {
        if self.headers.is_some() && self.custom_headers.is_some() && self.headers != self.custom_headers {
            return Err(Failure::invalid("headers: differs from customHeaders, which is the same under another name"));
        }
        let body = match &self.body {
            Some(body) => serde_json::to_vec(body).expect("a body has text keys"),
            None => encode_ping(&id, now),
        };
        Ok(PingRequest {
            id,
            url: self.url,
            method: self.http_method,
            headers: self.custom_headers.or(self.headers).unwrap_or_default(),
            body,
        })
    }
}

impl From<WebhookTestResult> for TestBody {
    fn from(result: WebhookTestResult) -> Self {
        Self {
            id: result.id.to_string(),
            topic: result.topic.as_str(),
            outcome: RecordedOutcome::from(result.outcome).as_str(),
            status: result.status,
            error: result.error,
            error_class: result.error_class.map(|class| class.as_str()),
            duration_ms: milliseconds(result.took),
        }
    }
}

impl From<PingResult> for PingBody {
    fn from(result: PingResult) -> Self {
        Self {
            id: result.id.to_string(),
            delivered: result.outcome == AttemptOutcome::Delivered,
            status: result.status,
            error: result.error,
            error_class: result.error_class.map(|class| class.as_str()),
            duration_ms: milliseconds(result.took),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

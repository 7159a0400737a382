//! Accounts, projects and webhooks as JSON.

use std::collections::BTreeMap;

use gatepost_domain::record::{Account, KeyValues, MaxInFlight, Project, RatePerSecond, Status, UserSecret, Webhook};
use gatepost_domain::retry_schedule::RetrySchedule;
use gatepost_domain::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::members::{actor_members, rfc3339};

/// An account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AccountBody)]
pub struct AccountResource {
    /// Id of the account.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Whether the account is active.
    pub is_active: bool,
    /// Id of the creator.
    pub created_by: Option<String>,
    /// Type of `createdBy`: `ACCESS_KEY` or `API_KEY`.
    pub created_by_type: Option<String>,
    /// Id of the author of the last change.
    pub last_changed_by: Option<String>,
    /// Type of `lastChangedBy`: `ACCESS_KEY` or `API_KEY`.
    pub last_changed_by_type: Option<String>,
    /// Creation time.
    pub created_at: String,
    /// Time of the last change.
    pub updated_at: String,
}

impl From<&Account> for AccountResource {
    fn from(account: &Account) -> Self {
        let (created_by, created_by_type) = actor_members(&account.stamps.created_by);
        let (last_changed_by, last_changed_by_type) = actor_members(&account.stamps.updated_by);
        Self {
            id: account.id.to_string(),
            name: account.name.clone(),
            is_active: account.status == Status::Active,
            created_by,
            created_by_type,
            last_changed_by,
            last_changed_by_type,
            created_at: rfc3339(account.stamps.created_at),
            updated_at: rfc3339(account.stamps.updated_at),
        }
    }
}

/// A project.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProjectBody)]
pub struct ProjectResource {
    /// Id of the project.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Account that owns the project.
    pub account_id: String,
    /// `live` or `test`; immutable.
    pub env: String,
    /// Whether its keys may be used.
    pub is_active: bool,
    /// Id of the creator.
    pub created_by: Option<String>,
    /// Type of `createdBy`: `ACCESS_KEY` or `API_KEY`.
    pub created_by_type: Option<String>,
    /// Id of the author of the last change.
    pub last_changed_by: Option<String>,
    /// Type of `lastChangedBy`: `ACCESS_KEY` or `API_KEY`.
    pub last_changed_by_type: Option<String>,
    /// Creation time.
    pub created_at: String,
    /// Time of the last change.
    pub updated_at: String,
}

impl From<&Project> for ProjectResource {
    fn from(project: &Project) -> Self {
        let (created_by, created_by_type) = actor_members(&project.stamps.created_by);
        let (last_changed_by, last_changed_by_type) = actor_members(&project.stamps.updated_by);
        Self {
            id: project.id.to_string(),
            name: project.name.clone(),
            account_id: project.account.to_string(),
            env: project.env.as_str().to_owned(),
            is_active: project.status == Status::Active,
            created_by,
            created_by_type,
            last_changed_by,
            last_changed_by_type,
            created_at: rfc3339(project.stamps.created_at),
            updated_at: rfc3339(project.stamps.updated_at),
        }
    }
}

/// A webhook.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookBody)]
pub struct WebhookResource {
    /// Id of the webhook.
    pub id: String,
    /// Account whose events it receives.
    pub account_id: String,
    /// The only project whose events it receives; null for the whole account.
    pub project_id: Option<String>,
    /// Display name.
    pub name: String,
    /// URL of the receiver. Viewers see `scheme://host:port/…`.
    pub url: String,
    /// Topics that it subscribes to.
    pub topics: Vec<String>,
    /// HTTP method of the requests.
    pub http_method: String,
    /// Additional headers of the requests. Viewers see `…` in place of the values.
    pub custom_headers: BTreeMap<String, String>,
    /// `live` or `paused`.
    pub status: String,
    /// `live`, `failing` (events are sent, but the attempts fail), `paused`, or `disabled` (paused because the attempts
    /// failed for too long or the receiver responded with 410).
    #[schema(example = "live")]
    pub state: String,
    /// Why it is failing or disabled; otherwise null.
    pub state_reason: Option<String>,
    /// Time since which it has been in this state.
    pub state_since: String,
    /// Time until which nothing is sent to it, because its receiver asked for that; absent if it did not, and in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<String>,
    /// Why nothing is sent to it until `pausedUntil`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "the receiver responded with 429 or 503 and Retry-After")]
    pub pause_reason: Option<String>,
    /// Number of dead and dropped deliveries, which can be recovered; only in the response to the change that makes a
    /// disabled webhook live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recoverable: Option<u64>,
    /// Always true: deleted webhooks are removed.
    pub is_active: bool,
    /// Signing secret; only in the response that created it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Time until which requests are also signed with a replaced secret; null if they are not.
    pub old_secret_until: Option<String>,
    /// Whether a static token is sent as `theauthapi-signature`, as the hosted product does.
    pub theauthapi_signature: bool,
    /// The static token; only in the response that set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theauthapi_token: Option<String>,
    /// Delays in seconds between the attempts of a delivery; null for the standard schedule.
    pub retry_schedule: Option<Vec<u64>>,
    /// Maximum number of concurrent requests; null for 16.
    pub max_in_flight: Option<u32>,
    /// Maximum number of requests per second; null for no maximum.
    pub rate_per_second: Option<u32>,
    /// Whether bodies contain masks where they would contain the values of keys.
    pub omit_secrets: bool,
    /// What happens to events while it is paused: `drop` or `keep`.
    #[schema(example = "drop")]
    pub when_paused: String,
    /// Signatures of each request: `v1`, and perhaps `v1a`.
    pub signatures: Vec<String>,
    /// Public key of the `v1a` signatures; null without them.
    pub public_key: Option<String>,
    /// Id of the creator.
    pub created_by: Option<String>,
    /// Type of `createdBy`: `ACCESS_KEY` or `API_KEY`.
    pub created_by_type: Option<String>,
    /// Id of the author of the last change.
    pub last_changed_by: Option<String>,
    /// Type of `lastChangedBy`: `ACCESS_KEY` or `API_KEY`.
    pub last_changed_by_type: Option<String>,
    /// Creation time.
    pub created_at: String,
    /// Time of the last change.
    pub updated_at: String,
}

impl WebhookResource {
    /// Builds the body as of a time without secrets: URL and header values are masked.
    pub fn new(webhook: &Webhook, now: Timestamp) -> Self {
        let (created_by, created_by_type) = actor_members(&webhook.stamps.created_by);
        let (last_changed_by, last_changed_by_type) = actor_members(&webhook.stamps.updated_by);
        let delivery = &webhook.delivery;
        Self {
            id: webhook.id.to_string(),
            account_id: webhook.account.to_string(),
            project_id: webhook.project.as_ref().map(ToString::to_string),
            name: webhook.name.clone(),
            url: webhook.url.masked.clone(),
            topics: webhook.topics.iter().map(|topic| topic.as_str().to_owned()).collect(),
            http_method: webhook.method.clone(),
            custom_headers: webhook.custom_headers.iter().map(|(name, _)| (name.clone(), masked_value())).collect(),
            status: webhook.status.as_str().to_owned(),
            state: webhook.state().as_str().to_owned(),
            state_reason: webhook.state_reason().map(str::to_owned),
            state_since: rfc3339(webhook.state_since()),
            paused_until: None,
            pause_reason: None,
            recoverable: None,
            is_active: true,
            secret: None,
            old_secret_until: webhook.old_secrets_until(now).map(rfc3339),
            theauthapi_signature: webhook.static_token.is_some(),
            theauthapi_token: None,
            retry_schedule: delivery.retry_schedule.as_ref().map(RetrySchedule::to_seconds),
            max_in_flight: delivery.max_in_flight.map(MaxInFlight::get),
            rate_per_second: delivery.rate.map(RatePerSecond::get),
            omit_secrets: delivery.key_values == KeyValues::Omitted,
            when_paused: delivery.when_paused.as_str().to_owned(),
            signatures: delivery.signatures().iter().map(|kind| kind.as_str().to_owned()).collect(),
            public_key: delivery.signing_key.as_ref().map(|key| key.public.to_string()),
            created_by,
            created_by_type,
            last_changed_by,
            last_changed_by_type,
            created_at: rfc3339(webhook.stamps.created_at),
            updated_at: rfc3339(webhook.stamps.updated_at),
        }
    }
}

fn masked_value() -> String {
    UserSecret::MASK.to_owned()
}

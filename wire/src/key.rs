//! API keys and access keys as JSON.

use gatepost_domain::record::{AccessKey, ApiKey, Status};
use gatepost_domain::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{actor_members, rfc3339};

/// An API key.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyBody {
    /// The key's id, for its whole life.
    pub id: String,
    /// The key's value where it may be seen, else its id: both name the key in paths.
    pub key: String,
    /// What may be shown of the value.
    pub masked_key: String,
    /// Its name.
    pub name: String,
    /// The project that it belongs to.
    pub project_id: String,
    /// The account of its project.
    pub account_id: String,
    /// `live` or `test`.
    pub env: String,
    /// Whether it may be used.
    pub is_active: bool,
    /// Anything its maker attached.
    #[schema(value_type = Value)]
    pub custom_meta_data: Value,
    /// The caller's own id of the customer.
    pub custom_account_id: Option<String>,
    /// The caller's own id of the customer's user.
    pub custom_user_id: Option<String>,
    /// When it expires.
    pub expires_at: Option<String>,
    /// The same under the name that clients send it by.
    pub expiry: Option<String>,
    /// How often it may be used.
    pub rate_limit_configs: Option<RateLimitBody>,
    /// How often it may be used in a day or a month.
    pub quota: Option<QuotaBody>,
    /// What it may do, for routes that ask.
    pub permissions: Vec<String>,
    /// The domains whose web pages may use it; empty for all, and for programs.
    pub allowed_domains: Vec<String>,
    /// The networks from which it may be used; empty for all.
    pub allowed_ips: Vec<String>,
    /// Where it was made.
    pub creation_context: CreationContextBody,
    /// When it was first used.
    pub first_used_at: Option<String>,
    /// When it was last used, to the second; absent if never, and in events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// By whom it was made.
    pub created_by: Option<String>,
    /// What `createdBy` is the id of.
    pub created_by_type: Option<String>,
    /// By whom it was last changed.
    pub last_changed_by: Option<String>,
    /// What `lastChangedBy` is the id of.
    pub last_changed_by_type: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

/// How often a key may be used.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitBody {
    /// Requests in a window.
    pub rate_limit: u64,
    /// Length of the window in seconds.
    pub rate_limit_ttl: f64,
}

/// How often a key may be used in a day or a month of the calendar, in UTC.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaBody {
    /// Requests in a period.
    pub limit: u64,
    /// `day` or `month`.
    pub period: String,
}

/// Where a key was made, as far as its maker told.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreationContextBody {
    /// The end user's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
    /// The end user's user agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_user_agent: Option<String>,
}

impl ApiKeyBody {
    /// The key as `shown`, its value or its id, allows.
    pub fn new(key: &ApiKey, shown: &str, first_used_at: Option<Timestamp>) -> Self {
        let expires_at = key.expires_at.map(rfc3339);
        let (created_by, created_by_type) = actor_members(&key.stamps.created_by);
        let (last_changed_by, last_changed_by_type) = actor_members(&key.stamps.updated_by);
        Self {
            id: key.id.to_string(),
            key: shown.to_owned(),
            masked_key: key.mask.clone(),
            name: key.name.clone(),
            project_id: key.project.to_string(),
            account_id: key.account.to_string(),
            env: key.env.as_str().to_owned(),
            is_active: key.status == Status::Active,
            custom_meta_data: serde_json::from_str(&key.metadata.0).unwrap_or(Value::Null),
            custom_account_id: key.custom_account_id.clone(),
            custom_user_id: key.custom_user_id.clone(),
            expiry: expires_at.clone(),
            expires_at,
            rate_limit_configs: key
                .rate_limit
                .map(|rate| RateLimitBody { rate_limit: rate.limit, rate_limit_ttl: rate.window.as_secs_f64() }),
            quota: key.quota.map(|quota| QuotaBody { limit: quota.limit, period: quota.period.as_str().to_owned() }),
            permissions: key.permissions.clone(),
            allowed_domains: key.allowed_domains.clone(),
            allowed_ips: key.allowed_ips.iter().map(ToString::to_string).collect(),
            creation_context: CreationContextBody {
                client_ip: key.creation_context.client_ip.clone(),
                client_user_agent: key.creation_context.client_user_agent.clone(),
            },
            first_used_at: first_used_at.map(rfc3339),
            last_used_at: None,
            created_by,
            created_by_type,
            last_changed_by,
            last_changed_by_type,
            created_at: rfc3339(key.stamps.created_at),
            updated_at: rfc3339(key.stamps.updated_at),
        }
    }
}

impl ApiKeyBody {
    /// The same with the moment of its last use.
    #[must_use]
    pub fn with_last_use(self, last_used_at: Option<Timestamp>) -> Self {
        Self { last_used_at: last_used_at.map(rfc3339), ..self }
    }
}

/// An access key.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessKeyBody {
    /// The access key's id.
    pub id: String,
    /// Its value where it may be seen, else its id.
    pub key: String,
    /// What may be shown of the value.
    pub masked_key: String,
    /// Its name.
    pub name: String,
    /// The account that it acts for.
    pub account_id: String,
    /// The only project that it sees; null for the whole account.
    pub project_id: Option<String>,
    /// `admin`, `user` or `viewer`.
    pub role: String,
    /// Whether it may be used.
    pub is_active: bool,
    /// From when on it may not be used any more; null if there is no such moment.
    pub expires_at: Option<String>,
    /// By whom it was made.
    pub created_by: Option<String>,
    /// What `createdBy` is the id of.
    pub created_by_type: Option<String>,
    /// By whom it was last changed.
    pub last_changed_by: Option<String>,
    /// What `lastChangedBy` is the id of.
    pub last_changed_by_type: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

impl AccessKeyBody {
    /// The access key as `shown`, its value or its id, allows.
    pub fn new(key: &AccessKey, shown: &str) -> Self {
        let (created_by, created_by_type) = actor_members(&key.stamps.created_by);
        let (last_changed_by, last_changed_by_type) = actor_members(&key.stamps.updated_by);
        Self {
            id: key.id.to_string(),
            key: shown.to_owned(),
            masked_key: key.mask.clone(),
            name: key.name.clone(),
            account_id: key.account.to_string(),
            project_id: key.project.as_ref().map(ToString::to_string),
            role: key.role.as_str().to_owned(),
            is_active: key.status == Status::Active,
            expires_at: key.expires_at.map(rfc3339),
            created_by,
            created_by_type,
            last_changed_by,
            last_changed_by_type,
            created_at: rfc3339(key.stamps.created_at),
            updated_at: rfc3339(key.stamps.updated_at),
        }
    }
}

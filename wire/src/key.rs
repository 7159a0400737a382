//! API keys and access keys as JSON.

use gatepost_domain::record::{AccessKey, ApiKey, Status};
use gatepost_domain::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::members::{actor_members, rfc3339};

/// An API key.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiKeyBody)]
pub struct ApiKeyResource {
    /// Id of the key. It stays the same when the key is rotated.
    pub id: String,
    /// Value of the key where the caller may see it, otherwise its id. Both identify the key in paths.
    pub key: String,
    /// Masked form of the value.
    pub masked_key: String,
    /// Display name.
    pub name: String,
    /// Project of the key.
    pub project_id: String,
    /// Account of the project.
    pub account_id: String,
    /// `live` or `test`.
    pub env: String,
    /// Whether the key may be used.
    pub is_active: bool,
    /// Any JSON value attached by the creator.
    #[schema(value_type = Value)]
    pub custom_meta_data: Value,
    /// The caller's own id for the customer.
    pub custom_account_id: Option<String>,
    /// The caller's own id for the customer's user.
    pub custom_user_id: Option<String>,
    /// Expiry time; null for no expiry.
    pub expires_at: Option<String>,
    /// The same as `expiresAt`, under the name that clients send.
    pub expiry: Option<String>,
    /// Rate limit of the key.
    pub rate_limit_configs: Option<RateLimitMember>,
    /// Daily or monthly quota of the key.
    pub quota: Option<QuotaMember>,
    /// Permissions of the key, checked by routes that require some.
    pub permissions: Vec<String>,
    /// Domains whose web pages may use the key; empty for all, and for other programs.
    pub allowed_domains: Vec<String>,
    /// Networks from which the key may be used; empty for all.
    pub allowed_ips: Vec<String>,
    /// Where the key was created.
    pub creation_context: CreationContextMember,
    /// Time of the first use.
    pub first_used_at: Option<String>,
    /// Time of the last use, to the second; absent if never used, and in events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
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

/// Rate limit of a key.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RateLimitBody)]
pub struct RateLimitMember {
    /// Maximum number of requests per window.
    pub rate_limit: u64,
    /// Length of the window in seconds.
    pub rate_limit_ttl: f64,
}

/// Quota of a key per calendar day or month, in UTC.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = QuotaBody)]
pub struct QuotaMember {
    /// Maximum number of requests per period.
    pub limit: u64,
    /// `day` or `month`.
    pub period: String,
}

/// Where a key was created, as far as the caller reported it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CreationContextBody)]
pub struct CreationContextMember {
    /// Client address of the end user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
    /// User agent of the end user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_user_agent: Option<String>,
}

impl ApiKeyResource {
    /// Builds the body. `shown` is the value of the key if the receiver may see it, otherwise its id.
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
                .map(|rate| RateLimitMember { rate_limit: rate.limit, rate_limit_ttl: rate.window.as_secs_f64() }),
            quota: key.quota.map(|quota| QuotaMember { limit: quota.limit, period: quota.period.as_str().to_owned() }),
            permissions: key.permissions.clone(),
            allowed_domains: key.allowed_domains.clone(),
            allowed_ips: key.allowed_ips.iter().map(ToString::to_string).collect(),
            creation_context: CreationContextMember {
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

impl ApiKeyResource {
    /// Adds the time of the last use.
    #[must_use]
    pub fn with_last_use(self, last_used_at: Option<Timestamp>) -> Self {
        Self { last_used_at: last_used_at.map(rfc3339), ..self }
    }
}

/// An access key.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AccessKeyBody)]
pub struct AccessKeyResource {
    /// Id of the access key.
    pub id: String,
    /// Value of the access key where the caller may see it, otherwise its id.
    pub key: String,
    /// Masked form of the value.
    pub masked_key: String,
    /// Display name.
    pub name: String,
    /// Account that it gives access to.
    pub account_id: String,
    /// The only project that it gives access to; null for the whole account.
    pub project_id: Option<String>,
    /// `admin`, `user` or `viewer`.
    pub role: String,
    /// Whether the access key may be used.
    pub is_active: bool,
    /// Expiry time; null for no expiry.
    pub expires_at: Option<String>,
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

impl AccessKeyResource {
    /// Builds the body. `shown` is the value of the access key if the receiver may see it, otherwise its id.
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

//! Request bodies for keys.

use gatepost_control_plane::{
    FlatLimit, KeyChange, KeyFields, NewApiKey, Patch, QuotaFields, RateLimitFields, status_of,
};
use gatepost_domain::record::CreationContext;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::patch;

/// Members of a key that can be set and changed.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyMembers {
    /// Value of the key: 8 to 512 visible ASCII characters without `/ ? # %`. By default a new key gets a
    /// generated one.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>, example = "a-value-of-my-own")]
    key: Patch<String>,
    /// Any JSON value for your own use, up to 16 KiB.
    #[serde(default, with = "patch")]
    #[schema(value_type = Value, required = false)]
    custom_meta_data: Patch<Value>,
    /// Your own id for the customer. It is forwarded to the upstream.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    custom_account_id: Patch<String>,
    /// Your own id for the customer's user. It is forwarded to the upstream.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    custom_user_id: Patch<String>,
    /// Expiry time: RFC 3339, `YYYY-MM-DD` or `YYYY-MM-DD HH:MM:SS` (UTC).
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    expiry: Patch<String>,
    /// Rate limit of the key.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<RateLimitMembers>)]
    rate_limit_configs: Patch<RateLimitMembers>,
    /// Quota per calendar day or month, in UTC.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<QuotaMembers>)]
    quota: Patch<QuotaMembers>,
    /// The same as in `rateLimitConfigs`, for clients that send it at this level.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<u64>)]
    rate_limit: Patch<u64>,
    /// The same as in `rateLimitConfigs`, for clients that send it at this level.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<f64>)]
    rate_limit_ttl: Patch<f64>,
    /// Permissions of the key, checked by routes that require some; up to 100 names.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<Vec<String>>)]
    permissions: Patch<Vec<String>>,
    /// Domains whose web pages may use the key: `example.com` is that host only, `*.example.com` all its
    /// subdomains. The gateway reads `Origin`, otherwise `Referer`; without either, and for other
    /// domains, it returns 403.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_domains: Patch<Vec<String>>,
    /// IP addresses and networks from which the key may be used, such as `192.0.2.0/24`.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_ips: Patch<Vec<String>>,
}

/// Rate limit of a key: a maximum number of requests per window. A window starts with the first request after the
/// previous window has ended.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RateLimitMembers {
    /// Maximum number of requests per window.
    #[schema(value_type = u64)]
    rate_limit: Option<u64>,
    /// Length of the window in seconds, at least 1.
    #[schema(value_type = f64)]
    rate_limit_ttl: Option<f64>,
}

impl From<RateLimitMembers> for RateLimitFields {
    fn from(members: RateLimitMembers) -> Self {
        Self { limit: members.rate_limit, window_s: members.rate_limit_ttl }
    }
}

/// Quota of a key per period.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QuotaMembers {
    /// Maximum number of requests per period.
    #[schema(value_type = u64)]
    limit: Option<u64>,
    /// `day` or `month`.
    #[schema(value_type = String)]
    period: Option<String>,
}

impl KeyMembers {
    fn into_fields(self, name: Patch<String>) -> KeyFields {
        KeyFields {
            name,
            key: self.key,
            // Stored on one line, as this writes it.
            metadata: self.custom_meta_data.map(|metadata| metadata.to_string()),
            custom_account_id: self.custom_account_id,
            custom_user_id: self.custom_user_id,
            expiry: self.expiry,
            expires_at: Patch::Absent,
            flat_limit: FlatLimit { limit: self.rate_limit, window_s: self.rate_limit_ttl },
            rate_limit: self.rate_limit_configs.map(RateLimitFields::from),
            quota: self.quota.map(|quota| QuotaFields { limit: quota.limit, period: quota.period }),
            permissions: self.permissions,
            allowed_domains: self.allowed_domains,
            allowed_ips: self.allowed_ips,
        }
    }
}

/// Key to create.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateApiKey {
    /// Name of the key.
    #[schema(value_type = String)]
    name: Option<String>,
    /// Project of the key; optional with an access key that is limited to a project.
    project_id: Option<String>,
    /// Client address of the end user.
    #[serde(rename = "clientIP")]
    client_ip: Option<String>,
    /// User agent of the end user.
    client_user_agent: Option<String>,
    #[serde(flatten)]
    members: KeyMembers,
}

impl From<CreateApiKey> for NewApiKey {
    fn from(new: CreateApiKey) -> Self {
        Self {
            project: new.project_id,
            fields: new.members.into_fields(new.name.map_or(Patch::Absent, Patch::Value)),
            context: CreationContext { client_ip: new.client_ip, client_user_agent: new.client_user_agent },
        }
    }
}

/// Changes to a key. Absent members are unchanged; null clears a member.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateApiKey {
    /// Name of the key.
    #[serde(default, with = "patch")]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    /// The same as `expiry`, under the name that responses use. If both are present, the one that differs from the key
    /// applies.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    expires_at: Patch<String>,
    /// False revokes the key, as DELETE does. True returns 409 if it is revoked, and has no effect otherwise.
    is_active: Option<bool>,
    /// Project of the key; a different one returns 400.
    project_id: Option<String>,
    /// Account of the key; a different one returns 400.
    account_id: Option<String>,
    /// Env of the key; a different one returns 400.
    env: Option<String>,
    /// Masked form of the value, as in responses. If it is the mask of `key`, `key` is the value as it was read, not
    /// a new value.
    #[schema(value_type = Value, required = false)]
    masked_key: Option<Value>,
    #[serde(flatten)]
    members: KeyMembers,
}

/// Options for rotating a key.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotateApiKey {
    /// Time in seconds for which the old value is still accepted, up to 90 days; by default it is refused immediately.
    #[schema(minimum = 0, maximum = 7_776_000)]
    pub(super) overlap_seconds: Option<u64>,
}

impl From<UpdateApiKey> for KeyChange {
    fn from(update: UpdateApiKey) -> Self {
        Self {
            fields: KeyFields { expires_at: update.expires_at, ..update.members.into_fields(update.name) },
            status: update.is_active.map(status_of),
            project: update.project_id,
            account: update.account_id,
            env: update.env,
            mask: update.masked_key.as_ref().and_then(Value::as_str).map(str::to_owned),
        }
    }
}

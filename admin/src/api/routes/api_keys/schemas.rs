//! Bodies of requests for keys.

use gatepost_control_plane::{
    FlatLimit, KeyChange, KeyFields, NewApiKey, Patch, QuotaFields, RateLimitFields, status_of,
};
use gatepost_domain::record::CreationContext;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::patch;

/// The members of a key that can be chosen and changed.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyMembers {
    /// Its value: 8 to 512 visible ASCII characters without `/ ? # %`. A new key gets one drawn by default.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>, example = "a-value-of-my-own")]
    key: Patch<String>,
    /// Anything you want to find again, up to 16 KiB of JSON.
    #[serde(default, with = "patch")]
    #[schema(value_type = Value, required = false)]
    custom_meta_data: Patch<Value>,
    /// Your own id of the customer. The upstream sees it.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    custom_account_id: Patch<String>,
    /// Your own id of the customer's user. The upstream sees it.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    custom_user_id: Patch<String>,
    /// When it shall expire: RFC 3339, `YYYY-MM-DD` or `YYYY-MM-DD HH:MM:SS` (UTC).
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    expiry: Patch<String>,
    /// How often it may be used.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<RateLimitMembers>)]
    rate_limit_configs: Patch<RateLimitMembers>,
    /// How often it may be used in a day or a month of the calendar, in UTC.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<QuotaMembers>)]
    quota: Patch<QuotaMembers>,
    /// The same as in `rateLimitConfigs`, for clients that send it here.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<u64>)]
    rate_limit: Patch<u64>,
    /// The same as in `rateLimitConfigs`, for clients that send it here.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<f64>)]
    rate_limit_ttl: Patch<f64>,
    /// What it may do, for routes that ask; up to 100 names.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<Vec<String>>)]
    permissions: Patch<Vec<String>>,
    /// The domains whose web pages may use it: `example.com` is that host alone, `*.example.com` all below it. The
    /// gateway reads `Origin`, else `Referer`; without either, and from other domains, it answers 403.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_domains: Patch<Vec<String>>,
    /// The addresses and networks from which it may be used, such as `192.0.2.0/24`.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_ips: Patch<Vec<String>>,
}

/// How often a key may be used: so many requests in a window, which starts with the first one after the last has
/// ended.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RateLimitMembers {
    /// Requests in a window.
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

/// How often a key may be used in a period.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QuotaMembers {
    /// Requests in a period.
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
            // The store keeps it on one line, as this writes it.
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

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateApiKey {
    /// Its name.
    #[schema(value_type = String)]
    name: Option<String>,
    /// Its project; not needed with an access key of a project.
    project_id: Option<String>,
    /// The end user's address.
    #[serde(rename = "clientIP")]
    client_ip: Option<String>,
    /// The end user's user agent.
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

/// What of a key shall change. What is absent stays, null clears.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateApiKey {
    /// Its name.
    #[serde(default, with = "patch")]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    /// The same as `expiry`, as answers have it. Of the two the one that differs from the key counts.
    #[serde(default, with = "patch")]
    #[schema(value_type = Option<String>)]
    expires_at: Patch<String>,
    /// False revokes the key, as DELETE does. True is a 409 if it is revoked, and nothing else.
    is_active: Option<bool>,
    /// The project of the key: another one is a 400.
    project_id: Option<String>,
    /// The account of the key: another one is a 400.
    account_id: Option<String>,
    /// The env of the key: another one is a 400.
    env: Option<String>,
    /// What may be shown of the value, as answers have it. A `key` that it is the mask of is the one that was read, and
    /// no new value.
    #[schema(value_type = Value, required = false)]
    masked_key: Option<Value>,
    #[serde(flatten)]
    members: KeyMembers,
}

/// How a key shall be rotated.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotateApiKey {
    /// For how many seconds the old value is still accepted, up to 90 days; by default it is refused at once.
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

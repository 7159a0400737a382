//! Everything about one value of a key that authorization needs.

use ipnet::IpNet;

use crate::digest::Digest;
use crate::id::{AccountId, KeyId, ProjectId};
use crate::key::Env;
use crate::record::{ApiKey, Quota, RateLimit, Status};
use crate::time::Timestamp;
use crate::window::Generations;

/// What a gateway knows about one value of a key: everything that authorization and the upstream headers need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// Id of the key.
    pub key: KeyId,
    /// Project of the key.
    pub project: ProjectId,
    /// Account of the project.
    pub account: AccountId,
    /// Environment of the key.
    pub env: Env,
    /// Status of the key.
    pub status: Status,
    /// Status of the project. An inactive project disables all its keys.
    pub project_status: Status,
    /// Expiry time of the key.
    pub expires_at: Option<Timestamp>,
    /// Time from which this value is denied. `None` for the current value.
    pub value_until: Option<Timestamp>,
    /// Time at which a new value replaced this one. `None` for the current value.
    pub value_replaced_at: Option<Timestamp>,
    /// Permissions granted to the key.
    pub permissions: Vec<String>,
    /// Domains whose web pages may use the key. Empty means all.
    pub allowed_domains: Vec<String>,
    /// Networks from which the key may be used. Empty means all.
    pub allowed_ips: Vec<IpNet>,
    /// Rate limit of the key.
    pub rate_limit: Option<RateLimit>,
    /// Daily or monthly quota of the key.
    pub quota: Option<Quota>,
    /// Generations of the rate limit and the quota, which select their windows.
    pub generations: Generations,
    /// The caller's own id for the customer.
    pub custom_account_id: Option<String>,
    /// The caller's own id for the customer's user.
    pub custom_user_id: Option<String>,
    /// Whether the store holds more than one account.
    pub tenancy: Tenancy,
}

impl KeyFacts {
    /// Builds the facts for the value with this digest. Returns `None` if the key no longer has that value.
    pub fn from_record(key: &ApiKey, digest: &Digest, project_status: Status, tenancy: Tenancy) -> Option<Self> {
        let value = key.digests.iter().find(|value| value.digest == *digest)?;
        Some(Self {
            key: key.id.clone(),
            project: key.project.clone(),
            account: key.account.clone(),
            env: key.env,
            status: key.status,
            project_status,
            expires_at: key.expires_at,
            value_until: value.until,
            value_replaced_at: value.replaced_at,
            permissions: key.permissions.clone(),
            allowed_domains: key.allowed_domains.clone(),
            allowed_ips: key.allowed_ips.clone(),
            rate_limit: key.rate_limit,
            quota: key.quota,
            generations: key.generations,
            custom_account_id: key.custom_account_id.clone(),
            custom_user_id: key.custom_user_id.clone(),
            tenancy,
        })
    }

    /// Returns what the `Deprecation` and `Sunset` headers of a response say about this value. `None` for the
    /// current value.
    pub fn sunset(&self) -> Option<Sunset> {
        let until = self.value_until?;
        Some(Sunset { since: self.value_replaced_at.unwrap_or(until), until })
    }
}

/// End of life of a value that was replaced and is still accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sunset {
    /// Time since which the value is deprecated.
    pub since: Timestamp,
    /// Time from which the value is denied.
    pub until: Timestamp,
}

impl Sunset {
    /// Returns the value of the `Deprecation` header (RFC 9745).
    pub fn deprecation_header(&self) -> String {
        format!("@{}", self.since.as_seconds())
    }

    /// Returns the value of the `Sunset` header (RFC 8594).
    pub fn sunset_header(&self) -> String {
        self.until.to_http_date()
    }
}

/// Number of accounts in the store. With more than one, a route must list its projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenancy {
    /// One account.
    Single,
    /// More than one account.
    Multiple,
}

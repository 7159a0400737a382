//! API keys, their values and limits.

use std::time::Duration;

use ipnet::IpNet;

use super::stamps::{Stamps, Status};
use crate::digest::Digest;
use crate::id::{AccountId, KeyId, ProjectId};
use crate::key::Env;
use crate::time::Timestamp;
use crate::window::{Generations, Period};

/// One value of a key, and until when it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest {
    /// Digest of the value.
    pub digest: Digest,
    /// Time from which the value is denied. `None` for the current value.
    pub until: Option<Timestamp>,
    /// Time at which a new value replaced it. `None` for the current value.
    pub replaced_at: Option<Timestamp>,
}

impl KeyDigest {
    /// Wraps the digest of the current value.
    pub fn current(digest: Digest) -> Self {
        Self { digest, until: None, replaced_at: None }
    }

    /// Returns whether the value itself has expired at `now`, regardless of the key's status.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Any JSON value that a caller attached to a key, stored as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata(pub String);

impl Default for Metadata {
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

/// Where a key was created, as far as the caller reported it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreationContext {
    /// Client address of the end user.
    pub client_ip: Option<String>,
    /// User agent of the end user.
    pub client_user_agent: Option<String>,
}

/// Rate limit of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Maximum number of requests per window.
    pub limit: u64,
    /// Length of the window.
    pub window: Duration,
}

/// Quota of a key per calendar day or month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Maximum number of requests per period.
    pub limit: u64,
    /// Calendar period of the quota.
    pub period: Period,
}

/// The credential of an end customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Id of the key. It stays the same when the key is rotated.
    pub id: KeyId,
    /// Account of the project.
    pub account: AccountId,
    /// Project of the key.
    pub project: ProjectId,
    /// Environment of the project.
    pub env: Env,
    /// Display name.
    pub name: String,
    /// The caller's own id for the customer.
    pub custom_account_id: Option<String>,
    /// The caller's own id for the customer's user.
    pub custom_user_id: Option<String>,
    /// JSON value attached by the caller.
    pub metadata: Metadata,
    /// Expiry time, from which the key is denied.
    pub expires_at: Option<Timestamp>,
    /// Rate limit, if any.
    pub rate_limit: Option<RateLimit>,
    /// Daily or monthly quota, if any.
    pub quota: Option<Quota>,
    /// Generations of the limits, which select their windows. See [`ApiKey::set_rate_limit`].
    pub generations: Generations,
    /// Permissions granted to the key, checked by routes that require some.
    pub permissions: Vec<String>,
    /// Domains whose web pages may use the key, see [`crate::origin`]. Empty means all, and programs.
    pub allowed_domains: Vec<String>,
    /// Networks from which the key may be used. Empty means all.
    pub allowed_ips: Vec<IpNet>,
    /// Whether the key may be used.
    pub status: Status,
    /// Masked form of the current value.
    pub mask: String,
    /// Digests of the values: the current one first, then those that are still accepted.
    pub digests: Vec<KeyDigest>,
    /// Where the key was created.
    pub creation_context: CreationContext,
    /// Creation and last update.
    pub stamps: Stamps,
}

impl ApiKey {
    /// Sets or removes the rate limit. A new window length, or a removal, ends the current window; a new number
    /// alone keeps it.
    pub fn set_rate_limit(&mut self, limit: Option<RateLimit>) {
        if self.rate_limit.is_some_and(|old| limit.is_none_or(|new| new.window != old.window)) {
            self.generations.rate_limit += 1;
        }
        self.rate_limit = limit;
    }

    /// Sets or removes the quota. A new period, or a removal, ends the current window; a new number alone keeps
    /// it.
    pub fn set_quota(&mut self, quota: Option<Quota>) {
        if self.quota.is_some_and(|old| quota.is_none_or(|new| new.period != old.period)) {
            self.generations.quota += 1;
        }
        self.quota = quota;
    }
}

//! The records that the store keeps, as values that rules work on.

mod webhook;

use std::time::Duration;

use ipnet::IpNet;

use crate::digest::Digest;
use crate::id::{AccessKeyId, AccountId, KeyId, ProjectId};
use crate::key::Env;
use crate::time::Timestamp;
use crate::window::{Generations, Period};

pub use webhook::{OldSecret, Sealed, UserSecret, Webhook, WebhookStatus, WebhookUrl};

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A caller of the admin API.
    AccessKey(AccessKeyId),
    /// The first use of a key, seen by a gateway or by the admin API.
    Key(KeyId),
    /// The operator, on the command line.
    Operator,
}

/// When a record was made and last changed, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamps {
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom it was made.
    pub created_by: Actor,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// By whom it was last changed.
    pub updated_by: Actor,
}

impl Stamps {
    /// Stamps of a new record.
    pub fn new(now: Timestamp, by: Actor) -> Self {
        Self { created_at: now, created_by: by.clone(), updated_at: now, updated_by: by }
    }

    /// The stamps after a change.
    pub fn updated(&self, now: Timestamp, by: Actor) -> Self {
        Self { updated_at: now, updated_by: by, ..self.clone() }
    }
}

/// Whether a record counts. Keys are deactivated, not removed, so that they keep their history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It counts.
    Active,
    /// It was shut off.
    Inactive,
}

/// The top tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// Whether it counts.
    pub status: Status,
    /// Who and when.
    pub stamps: Stamps,
}

/// Holds API keys and webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// The account that owns it.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// Fixed for its life.
    pub env: Env,
    /// Whether its keys may be used.
    pub status: Status,
    /// Who and when.
    pub stamps: Stamps,
}

/// One value of a key, and until when it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest {
    /// The digest of the value.
    pub digest: Digest,
    /// The moment from which the value is refused; absent for the current value.
    pub until: Option<Timestamp>,
    /// When another value came in its place; absent for the current value.
    pub replaced_at: Option<Timestamp>,
}

impl KeyDigest {
    /// The current value.
    pub fn current(digest: Digest) -> Self {
        Self { digest, until: None, replaced_at: None }
    }

    /// Whether the value is refused from its own end on, whatever the key is.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Any JSON value that a caller attached to a key, kept as its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata(pub String);

impl Default for Metadata {
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

/// Where a key was made, as far as the caller told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreationContext {
    /// The end user's address.
    pub client_ip: Option<String>,
    /// The end user's user agent.
    pub client_user_agent: Option<String>,
}

/// How often a key may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests in a window.
    pub limit: u64,
    /// Length of the window.
    pub window: Duration,
}

/// How often a key may be used in a day or a month of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests in a period.
    pub limit: u64,
    /// Which.
    pub period: Period,
}

/// The credential of an end customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, for its whole life.
    pub id: KeyId,
    /// The account of its project.
    pub account: AccountId,
    /// The project that it belongs to.
    pub project: ProjectId,
    /// The env of its project.
    pub env: Env,
    /// Its name.
    pub name: String,
    /// The caller's own id of the customer.
    pub custom_account_id: Option<String>,
    /// The caller's own id of the customer's user.
    pub custom_user_id: Option<String>,
    /// Anything the caller attached.
    pub metadata: Metadata,
    /// When it stops to be accepted.
    pub expires_at: Option<Timestamp>,
    /// How often it may be used.
    pub rate_limit: Option<RateLimit>,
    /// How often it may be used in a day or a month.
    pub quota: Option<Quota>,
    /// Which windows its limits count in, see [`ApiKey::set_rate_limit`].
    pub generations: Generations,
    /// What it may do, for routes that ask.
    pub permissions: Vec<String>,
    /// The domains whose web pages may use it, see [`crate::origin`]; empty for all, and for programs.
    pub allowed_domains: Vec<String>,
    /// The networks from which it may be used; empty for all.
    pub allowed_ips: Vec<IpNet>,
    /// Whether it may be used.
    pub status: Status,
    /// What may be shown of its value.
    pub mask: String,
    /// Its current value first, then values that are still accepted.
    pub digests: Vec<KeyDigest>,
    /// Where it was made.
    pub creation_context: CreationContext,
    /// Who and when.
    pub stamps: Stamps,
}

impl ApiKey {
    /// Sets or removes the rate limit. Another window length, or a removal, ends the current window; another number
    /// alone keeps it.
    pub fn set_rate_limit(&mut self, limit: Option<RateLimit>) {
        if self.rate_limit.is_some_and(|old| limit.is_none_or(|new| new.window != old.window)) {
            self.generations.rate_limit += 1;
        }
        self.rate_limit = limit;
    }

    /// Sets or removes the quota. Another period, or a removal, ends the current window; another number alone keeps it.
    pub fn set_quota(&mut self, quota: Option<Quota>) {
        if self.quota.is_some_and(|old| quota.is_none_or(|new| new.period != old.period)) {
            self.generations.quota += 1;
        }
        self.quota = quota;
    }
}

/// What an access key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything, access keys included.
    Admin,
    /// Reads and writes, without access keys.
    User,
    /// Reads.
    Viewer,
}

impl Role {
    /// As it stands in the API and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::User => "user",
            Role::Viewer => "viewer",
        }
    }

    /// Reads what [`Role::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Role::Admin, Role::User, Role::Viewer].into_iter().find(|role| role.as_str() == text)
    }
}

/// The credential of the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its id.
    pub id: AccessKeyId,
    /// The account that it acts for.
    pub account: AccountId,
    /// The only project that it sees; absent for the whole account.
    pub project: Option<ProjectId>,
    /// What it may do.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// Whether it may be used.
    pub status: Status,
    /// What may be shown of its value.
    pub mask: String,
    /// The digest of its value.
    pub digest: Digest,
    /// From when on it may not be used any more; absent if there is no such moment.
    pub expires_at: Option<Timestamp>,
    /// Who and when.
    pub stamps: Stamps,
}

impl AccessKey {
    /// Whether it may be used at a moment, as far as it says itself.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.status == Status::Active && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

/// Any record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An account.
    Account(Account),
    /// A project.
    Project(Project),
    /// An API key.
    ApiKey(ApiKey),
    /// An access key.
    AccessKey(AccessKey),
    /// A webhook.
    Webhook(Webhook),
}

impl Record {
    /// Its id, whose prefix names its kind.
    pub fn id(&self) -> &str {
        match self {
            Record::Account(account) => account.id.as_str(),
            Record::Project(project) => project.id.as_str(),
            Record::ApiKey(key) => key.id.as_str(),
            Record::AccessKey(key) => key.id.as_str(),
            Record::Webhook(webhook) => webhook.id.as_str(),
        }
    }
}

macro_rules! record_from {
    ($($name:ident),*) => {$(
        impl From<$name> for Record {
            fn from(record: $name) -> Self {
                Record::$name(record)
            }
        }
    )*};
}

record_from!(Account, Project, ApiKey, AccessKey, Webhook);

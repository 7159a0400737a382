//! Options for opening a store, and the deadlines of its operations.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use gatepost_domain::time::Clock;

use crate::account_resources::AccountLimits;
use crate::format::Format;
use crate::redis_access::RedisAccess;
use crate::url::StoreUrl;
use crate::usage::UsageRetention;

/// Options for opening a store.
#[derive(Clone)]
pub struct StoreOptions {
    /// Backend and address.
    pub url: StoreUrl,
    /// Credentials and certificates for Redis, besides those of the URL.
    pub redis_access: RedisAccess,
    /// Hash tag of all keys of this store on Redis, so that several stores can share one server.
    pub namespace: String,
    /// What to do about Redis settings that can lose acknowledged writes.
    pub unsafe_redis: UnsafeRedis,
    /// Replicas that must confirm a write before it is acknowledged.
    pub replicas: Replicas,
    /// Format of a store that is created, and the one to which `gatepost store upgrade` raises an existing store.
    pub write_format: Format,
    /// Maximum number of stream entries that wait for the fan-out. At this limit ordinary writes are refused.
    pub max_fan_out_backlog: u64,
    /// Maximum resources of each account.
    pub account_limits: AccountLimits,
    /// How long usage is kept, and how precisely.
    pub usage_retention: UsageRetention,
    /// Process clock, used by the embedded backend.
    pub clock: Arc<dyn Clock>,
    /// Offset added to the store's clock: zero outside tests.
    pub clock_skew: ClockSkew,
}

impl StoreOptions {
    /// Returns the options of a store that is configured by its URL only.
    pub fn new(url: StoreUrl, clock: Arc<dyn Clock>) -> Self {
        Self {
            url,
            redis_access: RedisAccess::default(),
            namespace: "gp".to_owned(),
            unsafe_redis: UnsafeRedis::Refused,
            replicas: Replicas::NONE,
            write_format: Format::LATEST,
            max_fan_out_backlog: DEFAULT_MAX_ENTRIES,
            account_limits: AccountLimits::DEFAULT,
            usage_retention: UsageRetention::DEFAULT,
            clock,
            clock_skew: ClockSkew::default(),
        }
    }
}

/// Replicas of a Redis that must confirm a commit, a first-use claim or a heartbeat before it is acknowledged, so that
/// a failover does not lose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// Number of replicas; 0 does not wait for any.
    pub count: u32,
    /// Maximum time to wait for them.
    pub timeout: Duration,
}

impl Replicas {
    /// No confirmation by replicas.
    pub const NONE: Self = Self { count: 0, timeout: Duration::ZERO };
}

/// Number of copies of the data that can serve reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// One copy: reads are never stale.
    Single,
    /// Several copies: a partitioned one still serves reads and does not know that it is stale.
    Replicated,
}

/// State of the recovery after a failover of Redis, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// All acknowledged changes are present.
    Complete,
    /// Another server run has become the master recently. Acknowledged changes that it lacks may not have been replayed
    /// yet: "not found" is not reliable.
    InProgress,
}

/// Policy for Redis settings that can lose acknowledged writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsafeRedis {
    /// Startup fails with the reason.
    Refused,
    /// Startup logs a warning.
    Allowed,
}

/// Offset added to the store's clock, so that tests can move it.
#[derive(Debug, Clone, Default)]
pub struct ClockSkew(Arc<AtomicI64>);

impl ClockSkew {
    /// Moves the store's clock by `ms` milliseconds, for this process only.
    pub fn add(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// Returns the offset in milliseconds.
    pub fn ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Default of `events.max_entries`.
pub const DEFAULT_MAX_ENTRIES: u64 = 5_000_000;
/// How long usage by the hour is kept in stores of the first format: 90 days.
pub(crate) const HOURLY_RETENTION_HOURS: u64 = 90 * 24;
/// Maximum number of keys whose uses are read or written in one act: Redis serves nobody else meanwhile. Adding takes
/// 0.2 ms, rolling up some 0.5 ms.
pub const MAX_KEYS_TOGETHER: usize = 200;
/// Deadline of a lookup.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);
/// Deadline of a first-use claim and of rate limit operations.
pub const CLAIM_TIMEOUT: Duration = Duration::from_millis(500);
/// Deadline of a heartbeat. A later reply does not renew the gateway's lease.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(2);
/// Deadline of a commit and of every other operation.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time that a feed read waits for the first entry.
pub const MAX_FEED_WAIT: Duration = Duration::from_secs(2);
/// Deadline for connecting.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

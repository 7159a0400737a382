//! How a store is opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use gatepost_domain::time::Clock;

use crate::account_resources::AccountLimits;
use crate::format::Format;
use crate::url::StoreUrl;

/// How a store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// Where it is.
    pub url: StoreUrl,
    /// The hash tag of all its keys on Redis, so that several stores can share one.
    pub namespace: String,
    /// Whether unsafe Redis settings are only warned of.
    pub unsafe_redis: UnsafeRedis,
    /// Replicas that must have a write before it counts.
    pub replicas: Replicas,
    /// The format in which a new store is made, and to which `gatepost store upgrade` raises an old one.
    pub write_format: Format,
    /// Entries that may wait for the fan-out before ordinary writes are refused.
    pub max_fan_out_backlog: u64,
    /// How much each account may have.
    pub account_limits: AccountLimits,
    /// The process clock, for the embedded backend.
    pub clock: Arc<dyn Clock>,
    /// What is added to the store's clock: nothing outside tests.
    pub clock_skew: ClockSkew,
}

/// How many replicas of a Redis must have a commit, a claim of first use or a heartbeat before it counts,
/// so that the loss of the master does not undo it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// How many; 0 to wait for none.
    pub count: u32,
    /// How long to wait for them.
    pub timeout: Duration,
}

impl Replicas {
    /// Waits for none.
    pub const NONE: Self = Self { count: 0, timeout: Duration::ZERO };
}

/// Whether what a store answers may be an old copy of what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// There is one: what it answers is so.
    Single,
    /// There are several: one that was cut off still answers reads, and does not know that it is old.
    Replicated,
}

/// Whether what was acknowledged stands, as far as this process can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// It does.
    Complete,
    /// Another run of a server has become the master of Redis a while ago. What it has lost may not have been
    /// repeated yet: that something is not there is no answer.
    InProgress,
}

/// What happens at start when Redis is set up so that it may lose what it acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsafeRedis {
    /// The start is refused with the reason.
    Refused,
    /// It is warned of.
    Allowed,
}

/// What is added to the store's clock, so that tests can move it.
#[derive(Debug, Clone, Default)]
pub struct ClockSkew(Arc<AtomicI64>);

impl ClockSkew {
    /// Moves the store's clock, for this process.
    pub fn add(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// Milliseconds to add.
    pub fn ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// For how long uses are kept by the hour: 90 days.
pub const USAGE_RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long a look-up may take.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a claim of first use may take.
pub const CLAIM_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a heartbeat may take: one that is answered later keeps nobody live.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a commit, and any other act, may take.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a feed may wait for the first entry.
pub const MAX_FEED_WAIT: Duration = Duration::from_millis(500);
/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

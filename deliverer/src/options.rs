//! Options of a deliverer and its fixed limits.

use std::time::Duration;

use gatepost_domain::record::{FailureLimits, MaxInFlight};
use gatepost_webhook_client::PrivateNetworks;

/// Retention of the stream.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Maximum age of an entry.
    pub max_age: Duration,
    pub max_entries: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct DelivererOptions {
    /// Whether webhooks may be sent to private networks.
    pub private_networks: PrivateNetworks,
    pub retention: Retention,
    /// Maximum number of pending deliveries per webhook, normally [`MAX_PENDING`].
    pub max_pending: u64,
    /// From when on a receiver is failing or disabled.
    pub failure_limits: FailureLimits,
}

/// Maximum number of pending deliveries per webhook. Beyond that the oldest becomes a dead letter.
pub const MAX_PENDING: u64 = 200_000;
/// Maximum number of concurrent deliveries per webhook, over all processes, unless the webhook sets a lower one.
pub const IN_FLIGHT_CAP: u32 = MaxInFlight::LIMIT.get();
/// Duration of an attempt from which a receiver is slow: it gets one delivery at a time until it is faster.
pub const SLOW_AFTER: Duration = Duration::from_secs(5);
/// Maximum number of concurrent deliveries per process.
pub const MAX_CONCURRENT_SENDS: usize = 512;
/// Duration of a delivery lease unless it is extended.
pub const LEASE_DURATION: Duration = Duration::from_secs(30);
/// Interval at which a lease is extended during an attempt.
pub const LEASE_EXTEND_INTERVAL: Duration = Duration::from_secs(10);
/// Time that attempts may continue after a stop. Then their deliveries are released, due at once.
pub const STOP_GRACE: Duration = Duration::from_secs(5);
/// Time after which a paused webhook is read again.
pub const PAUSED_RECHECK_INTERVAL: Duration = Duration::from_secs(60);
/// Why the deliveries of a disabled webhook become dead letters.
pub(crate) const DISABLED: &str = "disabled";
/// Maximum time for which key values are stored for deliveries and dead letters.
pub const MAX_SEALED_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Maximum age of attempts, and of deliveries in the log of a webhook since their end.
pub const MAX_LOG_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Maximum age of a dead letter.
pub const MAX_DEAD_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

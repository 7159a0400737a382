//! What a deliverer is told, and its fixed bounds.

use std::time::Duration;

/// Whether webhooks may be sent to private addresses and over plain http.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateNetworks {
    /// No: https to public addresses only.
    Refused,
    /// Yes, for local development.
    Allowed,
}

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Entries of the stream.
    pub max_age: Duration,
    /// Entries of the stream, at most so many.
    pub max_entries: u64,
}

/// All of it.
#[derive(Debug, Clone, Copy)]
pub struct DelivererOptions {
    /// Where webhooks may be sent.
    pub private_networks: PrivateNetworks,
    /// How long things are kept.
    pub retention: Retention,
    /// Deliveries that may wait for one webhook: [`MAX_PENDING`].
    pub max_pending: u64,
}

/// Deliveries that may wait for one webhook; beyond, its oldest becomes a dead letter.
pub const MAX_PENDING: u64 = 200_000;
/// Deliveries of one webhook that are sent at a time.
pub const IN_FLIGHT_CAP: u32 = 16;
/// A receiver that takes so long, or longer, gets one delivery at a time until it is quicker.
pub const SLOW_AFTER: Duration = Duration::from_secs(5);
/// Deliveries that one process sends at a time.
pub const MAX_CONCURRENT_SENDS: usize = 512;
/// How long a worker holds a delivery unless it is prolonged.
pub const LEASE_DURATION: Duration = Duration::from_secs(30);
/// How often it is prolonged while an attempt goes on.
pub const LEASE_EXTEND_INTERVAL: Duration = Duration::from_secs(10);
/// How long attempts may go on after a stop; then their deliveries are given back, due at once.
pub const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long an attempt may take in all.
pub const ATTEMPT_DEADLINE: Duration = Duration::from_secs(15);
/// How long its connection may take.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
pub const MAX_RESPONSE_BYTES: usize = 8 * 1024;
/// How long a webhook that is paused when its delivery is due waits before it is asked again.
pub const PAUSED_RECHECK_INTERVAL: Duration = Duration::from_secs(60);
/// How long a secret is kept for deliveries and dead letters.
pub const MAX_SEALED_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a dead letter is kept.
pub const MAX_DEAD_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

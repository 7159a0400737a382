//! The gateway's lease: whether it may trust its cache.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gatepost_domain::time::{Uptime, Version};

/// How long a heartbeat keeps the gateway live, counted from when it was sent.
pub(crate) const LIVE_FOR: Duration = Duration::from_secs(2);
/// Maximum skew between the clock of the store that took a heartbeat and, after a failover, the clock by which
/// the lease ends.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(1);
/// Maximum number of heartbeats that wait until the feed has reached their position. Beyond that the oldest is
/// dropped.
const MAX_PENDING_HEARTBEATS: usize = 16;

/// Lease of a gateway. It is evaluated for each request on a clock that includes suspended time, so no flag has
/// to be cleared.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Uptime at which the latest heartbeat was sent whose position the feed has reached; 0 if there is none.
    renewed_at_ms: AtomicU64,
    pending_heartbeats: Mutex<VecDeque<(Uptime, Version)>>,
    /// Set when the gateway has deregistered: changes no longer wait for it.
    has_ended: AtomicBool,
    max_stale: Duration,
}

/// How far the cache may be trusted, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Liveness {
    /// Completely.
    Live,
    /// Only while the store does not respond.
    Stale,
    /// Not at all.
    Expired,
}

impl Lease {
    pub(crate) fn new(max_stale: Duration) -> Self {
        Self {
            renewed_at_ms: AtomicU64::new(0),
            pending_heartbeats: Mutex::default(),
            has_ended: AtomicBool::new(false),
            max_stale,
        }
    }

    /// Returns the liveness at `now`.
    pub(crate) fn liveness(&self, now: Uptime) -> Liveness {
        let renewed_at = Uptime::from_ms(self.renewed_at_ms.load(Ordering::Acquire));
        let age = now.since(renewed_at);
        if self.has_ended.load(Ordering::Acquire) {
            Liveness::Expired
        } else if age <= LIVE_FOR {
            Liveness::Live
        } else if age <= LIVE_FOR + self.max_stale {
            Liveness::Stale
        } else {
            Liveness::Expired
        }
    }

    /// Ends the lease for good, before the gateway deregisters.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    /// Upper bound on how long the cache is used after a heartbeat if no other one follows.
    pub(crate) fn valid_for(&self) -> Duration {
        LIVE_FOR + self.max_stale + MAX_CLOCK_SKEW
    }

    /// Records a heartbeat that was sent at `sent` and whose response says that the store was at `last`.
    pub(crate) fn renew(&self, sent: Uptime, last: Version, cursor: Version) {
        let mut pending_heartbeats = self.lock();
        if pending_heartbeats.len() == MAX_PENDING_HEARTBEATS {
            pending_heartbeats.pop_front();
        }
        pending_heartbeats.push_back((sent, last));
        drop(pending_heartbeats);
        self.confirm_through(cursor);
    }

    /// Confirms heartbeats whose position the feed has reached.
    pub(crate) fn confirm_through(&self, cursor: Version) {
        let mut pending_heartbeats = self.lock();
        while let Some((sent, _)) = pending_heartbeats.front().copied().filter(|(_, last)| *last <= cursor) {
            pending_heartbeats.pop_front();
            self.renewed_at_ms.fetch_max(sent.as_ms(), Ordering::AcqRel);
        }
    }

    /// Drops heartbeats of a history that was rewound.
    pub(crate) fn discard_pending(&self) {
        self.lock().clear();
    }

    /// Returns the time since the latest heartbeat was sent whose position the feed has reached.
    pub(crate) fn age(&self, now: Uptime) -> Duration {
        now.since(Uptime::from_ms(self.renewed_at_ms.load(Ordering::Acquire)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Uptime, Version)>> {
        self.pending_heartbeats.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Uptime {
        Uptime::from_ms(ms)
    }

    #[test]
    fn gateway_is_live_only_after_its_feed_reaches_the_position_of_a_recent_heartbeat() {
        let lease = Lease::new(Duration::from_secs(60));
        let seen = Version::from_u64(7);
        assert_eq!(lease.liveness(at(1_000_000)), Liveness::Expired);
        lease.renew(at(1_000_000), seen, Version::from_u64(6));
        assert_eq!(lease.liveness(at(1_000_000)), Liveness::Expired);
        lease.confirm_through(seen);
        assert_eq!(lease.liveness(at(1_002_000)), Liveness::Live);
        assert_eq!(lease.liveness(at(1_002_001)), Liveness::Stale);
        assert_eq!(lease.liveness(at(1_062_000)), Liveness::Stale);
        assert_eq!(lease.liveness(at(1_062_001)), Liveness::Expired);
    }

    #[test]
    fn deregistered_gateway_is_never_live_again() {
        let lease = Lease::new(Duration::from_secs(60));
        lease.renew(at(1_000_000), Version::ZERO, Version::ZERO);
        lease.end();
        assert_eq!(lease.liveness(at(1_000_000)), Liveness::Expired);
    }

    #[test]
    fn without_max_stale_nothing_is_served_stale() {
        let lease = Lease::new(Duration::ZERO);
        lease.renew(at(1_000_000), Version::ZERO, Version::ZERO);
        assert_eq!(lease.liveness(at(1_002_000)), Liveness::Live);
        assert_eq!(lease.liveness(at(1_002_001)), Liveness::Expired);
    }
}

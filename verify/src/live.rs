//! Liveness: whether this gateway may trust its cache.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gatepost_domain::time::{Uptime, Version};

/// How long after a heartbeat was sent its answer keeps the gateway live.
pub(crate) const LIVE_FOR: Duration = Duration::from_secs(2);
/// How far two clocks of the store may be apart: the one that took a heartbeat and the one, after a
/// failover, by which its promise ends.
const CLOCKS_APART: Duration = Duration::from_secs(1);
/// Heartbeats that wait for the feed to reach their position; older ones are forgotten.
const MAX_WAITING: usize = 16;

/// Judged for each request on a clock that counts suspension, not by a flag that someone has to clear.
#[derive(Debug)]
pub(crate) struct Live {
    /// When the newest heartbeat whose position the feed has reached was sent; 0 for never.
    live_at_ms: AtomicU64,
    waiting: Mutex<VecDeque<(Uptime, Version)>>,
    /// Set when the gateway has signed off: nobody waits for it any more.
    has_ended: AtomicBool,
    max_stale: Duration,
}

/// How far the cache may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Entirely.
    Live,
    /// Only where the store does not answer.
    Stale,
    /// Not at all.
    Expired,
}

impl Live {
    pub(crate) fn new(max_stale: Duration) -> Self {
        Self { live_at_ms: AtomicU64::new(0), waiting: Mutex::default(), has_ended: AtomicBool::new(false), max_stale }
    }

    /// Judges the gateway now.
    pub(crate) fn judge(&self, now: Uptime) -> Liveness {
        let live_at = Uptime::from_ms(self.live_at_ms.load(Ordering::Acquire));
        let age = now.since(live_at);
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

    /// Ends it for good: before the gateway signs off.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    /// Within what time of a heartbeat the cache is surely used no more, unless another one follows.
    pub(crate) fn promise(&self) -> Duration {
        LIVE_FOR + self.max_stale + CLOCKS_APART
    }

    /// Takes a heartbeat's answer: sent at `sent`, the store was at `last`.
    pub(crate) fn beat(&self, sent: Uptime, last: Version, cursor: Version) {
        let mut waiting = self.lock();
        if waiting.len() == MAX_WAITING {
            waiting.pop_front();
        }
        waiting.push_back((sent, last));
        drop(waiting);
        self.reached(cursor);
    }

    /// Tells that the feed has reached `cursor`.
    pub(crate) fn reached(&self, cursor: Version) {
        let mut waiting = self.lock();
        while let Some((sent, _)) = waiting.front().copied().filter(|(_, last)| *last <= cursor) {
            waiting.pop_front();
            self.live_at_ms.fetch_max(sent.as_ms(), Ordering::AcqRel);
        }
    }

    /// Forgets heartbeats of a history that was rewound.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    /// How long ago the gateway was last known to be live.
    pub(crate) fn age(&self, now: Uptime) -> Duration {
        now.since(Uptime::from_ms(self.live_at_ms.load(Ordering::Acquire)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Uptime, Version)>> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Uptime {
        Uptime::from_ms(ms)
    }

    #[test]
    fn a_gateway_is_live_only_when_its_feed_has_reached_what_a_recent_heartbeat_saw() {
        let live = Live::new(Duration::from_secs(60));
        let seen = Version::from_u64(7);
        assert_eq!(live.judge(at(1_000_000)), Liveness::Expired);
        live.beat(at(1_000_000), seen, Version::from_u64(6));
        assert_eq!(live.judge(at(1_000_000)), Liveness::Expired);
        live.reached(seen);
        assert_eq!(live.judge(at(1_002_000)), Liveness::Live);
        assert_eq!(live.judge(at(1_002_001)), Liveness::Stale);
        assert_eq!(live.judge(at(1_062_000)), Liveness::Stale);
        assert_eq!(live.judge(at(1_062_001)), Liveness::Expired);
    }

    #[test]
    fn who_has_signed_off_is_never_live_again() {
        let live = Live::new(Duration::from_secs(60));
        live.beat(at(1_000_000), Version::ZERO, Version::ZERO);
        live.end();
        assert_eq!(live.judge(at(1_000_000)), Liveness::Expired);
    }

    #[test]
    fn without_max_stale_nothing_is_served_stale() {
        let live = Live::new(Duration::ZERO);
        live.beat(at(1_000_000), Version::ZERO, Version::ZERO);
        assert_eq!(live.judge(at(1_002_000)), Liveness::Live);
        assert_eq!(live.judge(at(1_002_001)), Liveness::Expired);
    }
}

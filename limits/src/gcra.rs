//! Rate limiting by GCRA (generic cell rate algorithm): one number per key, in bounded memory.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gatepost_domain::time::Uptime;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

/// A limiter that allows a burst, then one event per interval. A key is evicted once its full burst is
/// available again.
#[derive(Clone)]
pub struct Gcra<K> {
    /// Theoretical arrival time per key, in ms of uptime: when all events so far are paid for at one per
    /// interval.
    theoretical_arrival_ms: Cache<K, Arc<AtomicU64>>,
    interval_ms: u64,
    burst_tolerance_ms: u64,
}

impl<K: Hash + Eq + Send + Sync + 'static> Gcra<K> {
    /// Creates a limiter for at most `capacity` keys. Beyond that the least recently seen key is evicted and
    /// starts with a full burst.
    pub fn new(interval: Duration, burst: u32, capacity: u64) -> Self {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        Self {
            theoretical_arrival_ms: Cache::builder()
                .max_capacity(capacity)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(interval * burst)
                .build(),
            interval_ms,
            burst_tolerance_ms: interval_ms * u64::from(burst),
        }
    }

    /// Returns how long `key` must wait, or `None` if an event is allowed now.
    pub fn wait_time(&self, key: &K, now: Uptime) -> Option<Duration> {
        let theoretical_arrival_ms = self.theoretical_arrival_ms.get(key)?.load(Ordering::Acquire);
        let allowed_at_ms = (theoretical_arrival_ms + self.interval_ms).saturating_sub(self.burst_tolerance_ms);
        let wait_ms = allowed_at_ms.saturating_sub(now.as_ms());
        (wait_ms > 0).then(|| Duration::from_millis(wait_ms))
    }

    /// Counts one event, whether allowed or not.
    pub fn record(&self, key: K, now: Uptime) {
        self.record_many(key, 1, now);
    }

    /// Counts `count` events at once, whether allowed or not.
    pub fn record_many(&self, key: K, count: u64, now: Uptime) {
        let theoretical_arrival_ms = self.theoretical_arrival_ms.get_with(key, Arc::default);
        let next_arrival = |arrival_ms: u64| Some(arrival_ms.max(now.as_ms()) + count * self.interval_ms);
        // The closure always returns `Some`, so this cannot fail.
        let _ = theoretical_arrival_ms.fetch_update(Ordering::AcqRel, Ordering::Acquire, next_arrival);
    }

    /// Counts an event if it is allowed.
    ///
    /// # Errors
    /// Returns the time to wait if it is not allowed now.
    pub fn try_acquire(&self, key: K, now: Uptime) -> Result<(), Duration> {
        match self.wait_time(&key, now) {
            Some(wait) => Err(wait),
            None => {
                self.record(key, now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_at_a_time() {
        let gcra = Gcra::new(Duration::from_secs(3), 4, 100);
        let at = Uptime::from_ms;
        for _ in 0..4 {
            assert_eq!(gcra.try_acquire("a", at(1000)), Ok(()));
        }
        assert_eq!(gcra.try_acquire("a", at(1000)), Err(Duration::from_secs(3)));
        assert_eq!(gcra.try_acquire("a", at(3999)), Err(Duration::from_millis(1)));
        assert_eq!(gcra.try_acquire("b", at(1000)), Ok(()), "keys are independent");
        assert_eq!(gcra.try_acquire("a", at(4000)), Ok(()));
        assert_eq!(gcra.try_acquire("a", at(4000)), Err(Duration::from_secs(3)));
        for _ in 0..4 {
            assert_eq!(gcra.try_acquire("a", at(60_000)), Ok(()));
        }
        assert_eq!(gcra.wait_time(&"a", at(60_000)), Some(Duration::from_secs(3)));
    }
}

//! How often somebody may do something, by a virtual schedule: one number for each, in bounded memory.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gatepost_domain::time::Uptime;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

/// A pace: so much at once, then one more each `every`. Those whose allowance is whole again are forgotten.
#[derive(Clone)]
pub struct Pace<K> {
    /// Until when what was done so far lasts, in ms of uptime, at one each `every`.
    spent_until_ms: Cache<K, Arc<AtomicU64>>,
    every_ms: u64,
    burst_ms: u64,
}

impl<K: Hash + Eq + Send + Sync + 'static> Pace<K> {
    /// A pace for at most `capacity` at a time; beyond, those who have not been seen for longest begin anew.
    pub fn new(every: Duration, burst: u32, capacity: u64) -> Self {
        let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        Self {
            spent_until_ms: Cache::builder()
                .max_capacity(capacity)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(every * burst)
                .build(),
            every_ms,
            burst_ms: every_ms * u64::from(burst),
        }
    }

    /// How long one has to wait; none if something may be done now.
    pub fn wait(&self, who: &K, now: Uptime) -> Option<Duration> {
        let spent_until_ms = self.spent_until_ms.get(who)?.load(Ordering::Acquire);
        let free_at_ms = (spent_until_ms + self.every_ms).saturating_sub(self.burst_ms);
        let wait_ms = free_at_ms.saturating_sub(now.as_ms());
        (wait_ms > 0).then(|| Duration::from_millis(wait_ms))
    }

    /// Counts that something was done.
    pub fn spend(&self, who: K, now: Uptime) {
        self.spend_many(who, 1, now);
    }

    /// Counts that something was done so many times.
    pub fn spend_many(&self, who: K, times: u64, now: Uptime) {
        let spent_until_ms = self.spent_until_ms.get_with(who, Arc::default);
        let later = |until_ms: u64| Some(until_ms.max(now.as_ms()) + times * self.every_ms);
        // The closure always has an answer, so this does not fail.
        let _ = spent_until_ms.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
    }

    /// Does something, or tells how long to wait.
    pub fn take(&self, who: K, now: Uptime) -> Result<(), Duration> {
        match self.wait(&who, now) {
            Some(wait) => Err(wait),
            None => {
                self.spend(who, now);
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
        let pace = Pace::new(Duration::from_secs(3), 4, 100);
        let at = Uptime::from_ms;
        for _ in 0..4 {
            assert_eq!(pace.take("a", at(1000)), Ok(()));
        }
        assert_eq!(pace.take("a", at(1000)), Err(Duration::from_secs(3)));
        assert_eq!(pace.take("a", at(3999)), Err(Duration::from_millis(1)));
        assert_eq!(pace.take("b", at(1000)), Ok(()), "others have their own");
        assert_eq!(pace.take("a", at(4000)), Ok(()));
        assert_eq!(pace.take("a", at(4000)), Err(Duration::from_secs(3)));
        for _ in 0..4 {
            assert_eq!(pace.take("a", at(60_000)), Ok(()));
        }
        assert_eq!(pace.wait(&"a", at(60_000)), Some(Duration::from_secs(3)));
    }
}

//! What one holder has leased of a limit: what it may let pass without asking, and how much to ask for.
//!
//! The less is asked for at a time, the less lies unused with a holder that falls idle, and the more often the store
//! is asked. So a slice is what passes in some milliseconds, never more than a small part of the limit, and less the
//! nearer the limit is.

use std::time::Duration;

use crate::time::{Timestamp, Uptime};
use crate::window::LeaseGrant;

/// A slice is at most this part of its limit.
const MAX_LIMIT_DIVISOR: u64 = 50;
/// And at most this part of what is left in the window.
const MAX_REMAINING_DIVISOR: u64 = 4;
/// For how long a slice shall last.
const TARGET_LEASE_MS: u64 = 50;
/// How soon the store is asked again where a limit was used up: others may have given back.
const EXHAUSTED_RETRY_AFTER: Duration = Duration::from_millis(100);
/// What was not touched for so long is given back.
pub const IDLE_AFTER: Duration = Duration::from_millis(200);

/// A holder's part of one limit.
#[derive(Debug, Clone)]
pub struct TokenLease {
    limit: u64,
    tokens: u64,
    /// What was left for others when the store was last asked.
    left_for_others: u64,
    /// The end of the window, surely not after it.
    window_ends_at: Uptime,
    reset: Timestamp,
    /// How much was last asked for, and when.
    lease_size: u64,
    leased_at: Uptime,
    retry_at: Uptime,
    last_used_at: Uptime,
}

/// Whether a request may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenResult {
    /// It may, and was counted.
    Granted(LimitStatus),
    /// The limit is used up.
    Exhausted(LimitStatus),
    /// The store must be asked.
    LeaseNeeded,
}

/// What a client is told of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitStatus {
    /// Requests of a window.
    pub limit: u64,
    /// How many are left of them, as of the last lease.
    pub remaining: u64,
    /// When the window ends.
    pub reset: Timestamp,
    /// How long until then.
    pub resets_in: Duration,
}

impl LimitStatus {
    /// How many were used.
    pub fn used(&self) -> u64 {
        self.limit.saturating_sub(self.remaining)
    }

    /// The end of the window in whole seconds since the epoch: nothing is refused any more by then. It names the
    /// window, for none is shorter than a second.
    pub fn reset_s(&self) -> u64 {
        self.reset.as_ms().div_ceil(1000)
    }

    /// After how many whole seconds it is worth to try again.
    pub fn retry_after_s(&self) -> u64 {
        u64::try_from(self.resets_in.as_millis()).unwrap_or(u64::MAX).div_ceil(1000).max(1)
    }
}

impl TokenLease {
    /// Nothing of a limit.
    pub fn new(limit: u64) -> Self {
        let never = Uptime::from_ms(0);
        Self {
            limit,
            tokens: 0,
            left_for_others: 0,
            window_ends_at: never,
            reset: Timestamp::from_ms(0),
            lease_size: 1,
            leased_at: never,
            retry_at: never,
            last_used_at: never,
        }
    }

    /// Tells whether a request may pass, without counting it.
    pub fn peek(&self, now: Uptime) -> TokenResult {
        let is_over = self.window_ends_at <= now;
        if is_over || (self.tokens == 0 && (self.left_for_others > 0 || self.retry_at <= now)) {
            return TokenResult::LeaseNeeded;
        }
        let status = self.status(now);
        if self.tokens == 0 {
            TokenResult::Exhausted(status)
        } else {
            TokenResult::Granted(LimitStatus { remaining: status.remaining - 1, ..status })
        }
    }

    /// Lets a request pass if it may.
    pub fn take(&mut self, now: Uptime) -> TokenResult {
        let result = self.peek(now);
        if let TokenResult::Granted(_) = result {
            self.tokens -= 1;
            self.last_used_at = now;
        }
        result
    }

    /// How much to ask for.
    pub fn next_lease_size(&mut self, now: Uptime) -> u64 {
        let lease_age_ms = now.since(self.leased_at).as_millis();
        let lease_age_ms = u64::try_from(lease_age_ms).unwrap_or(u64::MAX).max(1);
        // What was used up faster than it should last doubles; what lasted longer shrinks to what was used.
        let target_size = if lease_age_ms <= TARGET_LEASE_MS {
            self.lease_size.saturating_mul(2)
        } else {
            self.lease_size * TARGET_LEASE_MS / lease_age_ms
        };
        let left = if now < self.window_ends_at { self.left_for_others } else { self.limit };
        self.lease_size = target_size.min(self.limit / MAX_LIMIT_DIVISOR).min(left / MAX_REMAINING_DIVISOR).max(1);
        self.lease_size
    }

    /// Takes the answer to a question that was sent at `sent`.
    pub fn refill(&mut self, grant: &LeaseGrant, sent_at: Uptime) {
        if self.reset != grant.reset || self.window_ends_at <= sent_at {
            self.tokens = 0;
        }
        self.tokens += grant.granted;
        self.left_for_others = grant.left_for_others;
        self.reset = grant.reset;
        // The store has answered after it was asked: its window ends later than this, if at all.
        self.window_ends_at = add_to_uptime(sent_at, grant.resets_in);
        self.leased_at = sent_at;
        self.last_used_at = sent_at;
        self.retry_at = add_to_uptime(sent_at, EXHAUSTED_RETRY_AFTER).min(self.window_ends_at);
    }

    /// What has lain unused for a while, with the window to which it is to be given back.
    pub fn take_idle(&mut self, now: Uptime) -> Option<(Timestamp, u64)> {
        if now.since(self.last_used_at) < IDLE_AFTER { None } else { self.take_all(now) }
    }

    /// All that is held.
    pub fn take_all(&mut self, now: Uptime) -> Option<(Timestamp, u64)> {
        let tokens = std::mem::take(&mut self.tokens);
        if tokens == 0 || self.window_ends_at <= now {
            return None;
        }
        self.left_for_others += tokens;
        Some((self.reset, tokens))
    }

    /// Whether anything is held.
    pub fn has_unused(&self, now: Uptime) -> Holds {
        if self.tokens > 0 && now < self.window_ends_at { Holds::Something } else { Holds::Nothing }
    }

    /// Takes another number for the same windows. What was leased under the old one is to be given back.
    pub fn set_limit(&mut self, limit: u64, now: Uptime) -> Option<(Timestamp, u64)> {
        let unused = self.take_all(now);
        self.left_for_others = (self.left_for_others + limit).saturating_sub(self.limit);
        self.limit = limit;
        self.retry_at = now;
        unused
    }

    /// What is known of the window: its end and what was used of it; none if it is over.
    pub fn window_usage(&self, now: Uptime) -> Option<(Timestamp, u64)> {
        (now < self.window_ends_at).then(|| (self.reset, self.status(now).used()))
    }

    fn status(&self, now: Uptime) -> LimitStatus {
        let remaining = (self.left_for_others + self.tokens).min(self.limit);
        LimitStatus { limit: self.limit, remaining, reset: self.reset, resets_in: self.window_ends_at.since(now) }
    }
}

/// Whether a holder has something to give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It has.
    Something,
    /// It has not.
    Nothing,
}

fn add_to_uptime(uptime: Uptime, duration: Duration) -> Uptime {
    Uptime::from_ms(uptime.as_ms().saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::window::{CounterWindow, Limit, UnusedLease, WindowKind, lease, return_unused};

    /// A store and its holders, all by one clock.
    struct Simulation {
        limit: u64,
        window_kind: WindowKind,
        window: Option<CounterWindow>,
        holders: Vec<TokenLease>,
        lease_requests: u64,
        granted: HashMap<u64, u64>,
    }

    impl Simulation {
        fn new(limit: u64, window_ms: u64, holders: usize) -> Self {
            let window_kind = WindowKind::FromFirstUse(Duration::from_millis(window_ms));
            let holders = vec![TokenLease::new(limit); holders];
            Self { limit, window_kind, window: None, holders, lease_requests: 0, granted: HashMap::new() }
        }

        /// One request at a holder.
        fn request(&mut self, holder: usize, ms: u64) {
            let (now, wall) = (Uptime::from_ms(ms), Timestamp::from_ms(ms));
            for _ in 0..2 {
                match self.holders[holder].take(now) {
                    TokenResult::Granted(status) => return *self.granted.entry(status.reset_s()).or_default() += 1,
                    TokenResult::Exhausted(_) => return,
                    TokenResult::LeaseNeeded => {}
                }
                let requested = self.holders[holder].next_lease_size(now);
                let limit = Limit { max_requests: self.limit, window_kind: self.window_kind, generation: 0 };
                let (window, grant) = lease(self.window, limit, requested, wall);
                self.window = Some(window);
                self.holders[holder].refill(&grant, now);
                self.lease_requests += 1;
            }
        }

        fn sweep(&mut self, ms: u64) {
            for holder in &mut self.holders {
                if let Some((reset, count)) = holder.take_idle(Uptime::from_ms(ms)) {
                    let unused = UnusedLease { generation: 0, reset, count };
                    let window = self.window.and_then(|it| return_unused(it, unused, Timestamp::from_ms(ms)));
                    self.window = window.or(self.window);
                }
            }
        }
    }

    #[test]
    fn two_busy_holders_exhaust_a_limit_with_few_leases() {
        let mut simulation = Simulation::new(1000, 10_000, 2);
        // Four thousand requests a second for thirty seconds.
        for number in 0..120_000_u64 {
            let ms = 1_000_000 + number / 4;
            simulation.request((number % 2) as usize, ms);
            if number % 400 == 0 {
                simulation.sweep(ms);
            }
        }
        assert_eq!(simulation.granted.len(), 3);
        assert!(simulation.granted.values().all(|count| *count == 1000), "{:?}", simulation.granted);
        // About 60 for each window's slices, and ten a second while the limit is used up.
        assert!(simulation.lease_requests < 1000, "the store was asked {} times", simulation.lease_requests);
    }

    #[test]
    fn tokens_of_an_idle_holder_do_not_starve_the_other() {
        let mut simulation = Simulation::new(1000, 10_000, 2);
        for number in 0..400_u64 {
            simulation.request((number % 2) as usize, 1_000_000 + number);
        }
        for number in 0..4000_u64 {
            let ms = 1_000_400 + number;
            simulation.request(0, ms);
            if number % 100 == 0 {
                simulation.sweep(ms);
            }
        }
        assert_eq!(simulation.granted.into_values().collect::<Vec<_>>(), vec![1000]);
    }

    #[test]
    fn a_small_limit_is_reported_exactly() {
        let mut simulation = Simulation::new(3, 60_000, 1);
        let now = Uptime::from_ms(1_000_000);
        let mut reported = Vec::new();
        for _ in 0..4 {
            simulation.request(0, now.as_ms());
            let Some((reset, used)) = simulation.holders[0].window_usage(now) else { panic!("nothing is known") };
            reported.push((reset.as_ms(), used));
        }
        assert_eq!(reported, vec![(1_060_000, 1), (1_060_000, 2), (1_060_000, 3), (1_060_000, 3)]);
    }

    #[test]
    fn retry_after_rounds_up_to_whole_seconds() {
        let status = LimitStatus {
            limit: 5,
            remaining: 2,
            reset: Timestamp::from_ms(1_700_000_000_001),
            resets_in: Duration::from_millis(1),
        };
        assert_eq!((status.used(), status.reset_s(), status.retry_after_s()), (3, 1_700_000_001, 1));
    }

    proptest! {
        #[test]
        fn holders_together_never_exceed_the_limit(
            limit in 1..200_u64, window_ms in 1000..5000_u64,
            steps in proptest::collection::vec((0..60_u64, 0..3_usize, any::<bool>()), 1..500),
        ) {
            let mut simulation = Simulation::new(limit, window_ms, 3);
            let mut ms = 1_000_000;
            for (pause_ms, holder, sweeps) in steps {
                ms += pause_ms;
                if sweeps {
                    simulation.sweep(ms);
                }
                simulation.request(holder, ms);
                prop_assert!(simulation.granted.values().all(|count| *count <= limit), "{:?}", simulation.granted);
            }
        }
    }
}

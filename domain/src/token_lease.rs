//! Token leases: how many requests of a limit one holder may grant without the store, and how many to request
//! next.
//!
//! Smaller leases leave fewer tokens unused at a holder that becomes idle, and cost more requests to the store.
//! So a lease covers the requests of about 50 ms, never more than a small part of the limit, and less as the
//! limit gets closer.

use std::time::Duration;

use crate::time::{Timestamp, Uptime};
use crate::window::LeaseGrant;

/// A lease is at most the limit divided by this.
const MAX_LIMIT_DIVISOR: u64 = 50;
/// A lease is at most the remaining requests of the window divided by this.
const MAX_REMAINING_DIVISOR: u64 = 4;
/// Target duration of a lease in milliseconds.
const TARGET_LEASE_MS: u64 = 50;
/// Delay before the next request to the store when a limit is exhausted: other holders may have returned
/// tokens.
const EXHAUSTED_RETRY_AFTER: Duration = Duration::from_millis(100);
/// Idle time after which unused tokens are returned.
pub const IDLE_AFTER: Duration = Duration::from_millis(200);

/// One holder's share of a limit.
#[derive(Debug, Clone)]
pub struct TokenLease {
    limit: u64,
    tokens: u64,
    /// Requests left for other holders as of the last lease.
    left_for_others: u64,
    /// End of the window on the local clock; never later than the real end.
    window_ends_at: Uptime,
    reset: Timestamp,
    /// Size and time of the last lease request.
    lease_size: u64,
    leased_at: Uptime,
    retry_at: Uptime,
    last_used_at: Uptime,
}

/// Result of taking a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenResult {
    /// The request passes and is counted.
    Granted(LimitStatus),
    /// The limit is exhausted.
    Exhausted(LimitStatus),
    /// The holder must request a lease from the store first.
    LeaseNeeded,
}

/// State of a limit as reported to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitStatus {
    /// Maximum number of requests per window.
    pub limit: u64,
    /// Remaining requests of the window as of the last lease.
    pub remaining: u64,
    /// End of the window, on the store's clock.
    pub reset: Timestamp,
    /// Time until the end of the window.
    pub resets_in: Duration,
}

impl LimitStatus {
    /// Returns the number of requests used in the window.
    pub fn used(&self) -> u64 {
        self.limit.saturating_sub(self.remaining)
    }

    /// Returns the end of the window in whole seconds since the epoch, rounded up: nothing is rejected any more
    /// by then. It identifies the window because no window is shorter than a second.
    pub fn reset_s(&self) -> u64 {
        self.reset.as_ms().div_ceil(1000)
    }

    /// Returns the whole seconds until a retry can succeed, at least 1.
    pub fn retry_after_s(&self) -> u64 {
        u64::try_from(self.resets_in.as_millis()).unwrap_or(u64::MAX).div_ceil(1000).max(1)
    }
}

impl TokenLease {
    /// Creates an empty lease of a limit.
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

    /// Returns whether a request may pass, without counting it.
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

    /// Counts a request if it may pass.
    pub fn take(&mut self, now: Uptime) -> TokenResult {
        let result = self.peek(now);
        if let TokenResult::Granted(_) = result {
            self.tokens -= 1;
            self.last_used_at = now;
        }
        result
    }

    /// Decides how many requests to lease next.
    pub fn next_lease_size(&mut self, now: Uptime) -> u64 {
        let lease_age_ms = now.since(self.leased_at).as_millis();
        let lease_age_ms = u64::try_from(lease_age_ms).unwrap_or(u64::MAX).max(1);
        // A lease that was used up faster than the target doubles; one that lasted longer shrinks to what was
        // used.
        let target_size = if lease_age_ms <= TARGET_LEASE_MS {
            self.lease_size.saturating_mul(2)
        } else {
            self.lease_size * TARGET_LEASE_MS / lease_age_ms
        };
        let left = if now < self.window_ends_at { self.left_for_others } else { self.limit };
        self.lease_size = target_size.min(self.limit / MAX_LIMIT_DIVISOR).min(left / MAX_REMAINING_DIVISOR).max(1);
        self.lease_size
    }

    /// Applies the response to a lease request that was sent at `sent_at`.
    pub fn refill(&mut self, grant: &LeaseGrant, sent_at: Uptime) {
        if self.reset != grant.reset || self.window_ends_at <= sent_at {
            self.tokens = 0;
        }
        self.tokens += grant.granted;
        self.left_for_others = grant.left_for_others;
        self.reset = grant.reset;
        // The store computed `resets_in` after the request was sent, so its window ends no earlier than this.
        self.window_ends_at = sent_at.plus(grant.resets_in);
        self.leased_at = sent_at;
        self.last_used_at = sent_at;
        self.retry_at = sent_at.plus(EXHAUSTED_RETRY_AFTER).min(self.window_ends_at);
    }

    /// Takes the tokens if they have been idle for [`IDLE_AFTER`]. Returns the end of their window and their
    /// number, to be returned to the store.
    pub fn take_idle(&mut self, now: Uptime) -> Option<(Timestamp, u64)> {
        if now.since(self.last_used_at) < IDLE_AFTER { None } else { self.take_all(now) }
    }

    /// Takes all tokens of the current window. Returns the end of the window and the number of tokens.
    pub fn take_all(&mut self, now: Uptime) -> Option<(Timestamp, u64)> {
        let tokens = std::mem::take(&mut self.tokens);
        if tokens == 0 || self.window_ends_at <= now {
            return None;
        }
        self.left_for_others += tokens;
        Some((self.reset, tokens))
    }

    /// Returns whether there are unused tokens of a current window.
    pub fn has_unused(&self, now: Uptime) -> bool {
        self.tokens > 0 && now < self.window_ends_at
    }

    /// Changes the number of requests of the current windows. Returns the end of the window and the tokens
    /// leased under the old number, to be returned to the store.
    pub fn set_limit(&mut self, limit: u64, now: Uptime) -> Option<(Timestamp, u64)> {
        let unused = self.take_all(now);
        self.left_for_others = (self.left_for_others + limit).saturating_sub(self.limit);
        self.limit = limit;
        self.retry_at = now;
        unused
    }

    /// Returns the end of the current window and the number of requests used in it, or `None` if the window is
    /// over.
    pub fn window_usage(&self, now: Uptime) -> Option<(Timestamp, u64)> {
        (now < self.window_ends_at).then(|| (self.reset, self.status(now).used()))
    }

    fn status(&self, now: Uptime) -> LimitStatus {
        let remaining = (self.left_for_others + self.tokens).min(self.limit);
        LimitStatus { limit: self.limit, remaining, reset: self.reset, resets_in: self.window_ends_at.since(now) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::window::{CounterWindow, Limit, UnusedLease, WindowKind, lease, return_unused};

    /// A store and its holders, all on one clock.
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
        // About 60 leases per window, and ten per second while the limit is exhausted.
        assert!(simulation.lease_requests < 1000, "{} lease requests", simulation.lease_requests);
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
            let Some((reset, used)) = simulation.holders[0].window_usage(now) else { panic!("the window is over") };
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

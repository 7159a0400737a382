//! What one holder has leased of a limit: what it may let pass without asking, and how much to ask for.
//!
//! The less is asked for at a time, the less lies unused with a holder that falls idle, and the more often the store
//! is asked. So a slice is what passes in some milliseconds, never more than a small part of the limit, and less the
//! nearer the limit is.

use std::time::Duration;

use crate::time::{Timestamp, Uptime};
use crate::window::Allowance;

/// A slice is at most this part of its limit.
const MAX_SHARE: u64 = 50;
/// And at most this part of what is left in the window.
const MAX_SHARE_OF_LEFT: u64 = 4;
/// For how long a slice shall last.
const LASTS_MS: u64 = 50;
/// How soon the store is asked again where a limit was used up: others may have given back.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// What was not touched for so long is given back.
pub const IDLE_AFTER: Duration = Duration::from_millis(200);

/// A holder's part of one limit.
#[derive(Debug, Clone)]
pub struct Slice {
    limit: u64,
    held: u64,
    /// What was left for others when the store was last asked.
    left: u64,
    /// The end of the window, surely not after it.
    ends: Uptime,
    reset: Timestamp,
    /// How much was last asked for, and when.
    size: u64,
    leased: Uptime,
    ask_again: Uptime,
    taken: Uptime,
}

/// Whether a request may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It may, and was counted.
    Yes(Reading),
    /// The limit is used up.
    No(Reading),
    /// The store must be asked.
    Ask,
}

/// What a client is told of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Requests of a window.
    pub limit: u64,
    /// How many are left of them, as of the last lease.
    pub remaining: u64,
    /// When the window ends.
    pub reset: Timestamp,
    /// How long until then.
    pub wait: Duration,
}

impl Reading {
    /// How many were used.
    pub fn consumed(&self) -> u64 {
        self.limit.saturating_sub(self.remaining)
    }

    /// The end of the window in whole seconds since the epoch: nothing is refused any more by then. It names the
    /// window, for none is shorter than a second.
    pub fn reset_s(&self) -> u64 {
        self.reset.as_ms().div_ceil(1000)
    }

    /// After how many whole seconds it is worth to try again.
    pub fn retry_after_s(&self) -> u64 {
        u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX).div_ceil(1000).max(1)
    }
}

impl Slice {
    /// Nothing of a limit.
    pub fn new(limit: u64) -> Self {
        let never = Uptime::from_ms(0);
        Self {
            limit,
            held: 0,
            left: 0,
            ends: never,
            reset: Timestamp::from_ms(0),
            size: 1,
            leased: never,
            ask_again: never,
            taken: never,
        }
    }

    /// Tells whether a request may pass, without counting it.
    pub fn peek(&self, now: Uptime) -> Taken {
        let is_over = self.ends <= now;
        if is_over || (self.held == 0 && (self.left > 0 || self.ask_again <= now)) {
            return Taken::Ask;
        }
        let reading = self.reading(now);
        if self.held == 0 {
            Taken::No(reading)
        } else {
            Taken::Yes(Reading { remaining: reading.remaining - 1, ..reading })
        }
    }

    /// Lets a request pass if it may.
    pub fn take(&mut self, now: Uptime) -> Taken {
        let taken = self.peek(now);
        if let Taken::Yes(_) = taken {
            self.held -= 1;
            self.taken = now;
        }
        taken
    }

    /// How much to ask for.
    pub fn want(&mut self, now: Uptime) -> u64 {
        let lasted_ms = now.since(self.leased).as_millis();
        let lasted_ms = u64::try_from(lasted_ms).unwrap_or(u64::MAX).max(1);
        // What was used up faster than it should last doubles; what lasted longer shrinks to what was used.
        let size = if lasted_ms <= LASTS_MS { self.size.saturating_mul(2) } else { self.size * LASTS_MS / lasted_ms };
        let left = if now < self.ends { self.left } else { self.limit };
        self.size = size.min(self.limit / MAX_SHARE).min(left / MAX_SHARE_OF_LEFT).max(1);
        self.size
    }

    /// Takes the answer to a question that was sent at `sent`.
    pub fn refill(&mut self, allowance: &Allowance, sent: Uptime) {
        if self.reset != allowance.reset || self.ends <= sent {
            self.held = 0;
        }
        self.held += allowance.granted;
        self.left = allowance.left;
        self.reset = allowance.reset;
        // The store has answered after it was asked: its window ends later than this, if at all.
        self.ends = plus(sent, allowance.remaining);
        self.leased = sent;
        self.taken = sent;
        self.ask_again = plus(sent, ASK_AGAIN).min(self.ends);
    }

    /// What has lain unused for a while, with the window to which it is to be given back.
    pub fn take_idle(&mut self, now: Uptime) -> Option<(Timestamp, u64)> {
        if now.since(self.taken) < IDLE_AFTER { None } else { self.take_all(now) }
    }

    /// All that is held.
    pub fn take_all(&mut self, now: Uptime) -> Option<(Timestamp, u64)> {
        let held = std::mem::take(&mut self.held);
        if held == 0 || self.ends <= now {
            return None;
        }
        self.left += held;
        Some((self.reset, held))
    }

    /// Whether anything is held.
    pub fn holds(&self, now: Uptime) -> Holds {
        if self.held > 0 && now < self.ends { Holds::Something } else { Holds::Nothing }
    }

    /// Takes another number for the same windows. What was leased under the old one is to be given back.
    pub fn change_limit(&mut self, limit: u64, now: Uptime) -> Option<(Timestamp, u64)> {
        let unused = self.take_all(now);
        self.left = (self.left + limit).saturating_sub(self.limit);
        self.limit = limit;
        self.ask_again = now;
        unused
    }

    /// What is known of the window: its end and what was used of it; none if it is over.
    pub fn known(&self, now: Uptime) -> Option<(Timestamp, u64)> {
        (now < self.ends).then(|| (self.reset, self.reading(now).consumed()))
    }

    fn reading(&self, now: Uptime) -> Reading {
        let remaining = (self.left + self.held).min(self.limit);
        Reading { limit: self.limit, remaining, reset: self.reset, wait: self.ends.since(now) }
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

fn plus(moment: Uptime, span: Duration) -> Uptime {
    Uptime::from_ms(moment.as_ms().saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::window::{Limit, Span, Unused, Window, give_back, lease};

    /// A store and its holders, all by one clock.
    struct Site {
        limit: u64,
        span: Span,
        window: Option<Window>,
        holders: Vec<Slice>,
        asked: u64,
        passed: HashMap<u64, u64>,
    }

    impl Site {
        fn new(limit: u64, window_ms: u64, holders: usize) -> Self {
            let span = Span::Rolling(Duration::from_millis(window_ms));
            let holders = vec![Slice::new(limit); holders];
            Self { limit, span, window: None, holders, asked: 0, passed: HashMap::new() }
        }

        /// One request at a holder.
        fn request(&mut self, holder: usize, ms: u64) {
            let (now, wall) = (Uptime::from_ms(ms), Timestamp::from_ms(ms));
            for _ in 0..2 {
                match self.holders[holder].take(now) {
                    Taken::Yes(reading) => return *self.passed.entry(reading.reset_s()).or_default() += 1,
                    Taken::No(_) => return,
                    Taken::Ask => {}
                }
                let want = self.holders[holder].want(now);
                let limit = Limit { count: self.limit, span: self.span, generation: 0 };
                let (window, allowance) = lease(self.window, limit, want, wall);
                self.window = Some(window);
                self.holders[holder].refill(&allowance, now);
                self.asked += 1;
            }
        }

        fn sweep(&mut self, ms: u64) {
            for holder in &mut self.holders {
                if let Some((reset, count)) = holder.take_idle(Uptime::from_ms(ms)) {
                    let unused = Unused { generation: 0, reset, count };
                    let window = self.window.and_then(|it| give_back(it, unused, Timestamp::from_ms(ms)));
                    self.window = window.or(self.window);
                }
            }
        }
    }

    #[test]
    fn two_busy_holders_use_a_limit_up_and_seldom_ask() {
        let mut site = Site::new(1000, 10_000, 2);
        // Four thousand requests a second for thirty seconds.
        for number in 0..120_000_u64 {
            let ms = 1_000_000 + number / 4;
            site.request((number % 2) as usize, ms);
            if number % 400 == 0 {
                site.sweep(ms);
            }
        }
        assert_eq!(site.passed.len(), 3);
        assert!(site.passed.values().all(|count| *count == 1000), "{:?}", site.passed);
        // About 60 for each window's slices, and ten a second while the limit is used up.
        assert!(site.asked < 1000, "the store was asked {} times", site.asked);
    }

    #[test]
    fn what_an_idle_holder_has_does_not_starve_the_other() {
        let mut site = Site::new(1000, 10_000, 2);
        for number in 0..400_u64 {
            site.request((number % 2) as usize, 1_000_000 + number);
        }
        for number in 0..4000_u64 {
            let ms = 1_000_400 + number;
            site.request(0, ms);
            if number % 100 == 0 {
                site.sweep(ms);
            }
        }
        assert_eq!(site.passed.into_values().collect::<Vec<_>>(), vec![1000]);
    }

    #[test]
    fn a_small_limit_is_told_exactly() {
        let mut site = Site::new(3, 60_000, 1);
        let now = Uptime::from_ms(1_000_000);
        let mut told = Vec::new();
        for _ in 0..4 {
            site.request(0, now.as_ms());
            let Some((reset, consumed)) = site.holders[0].known(now) else { panic!("nothing is known") };
            told.push((reset.as_ms(), consumed));
        }
        assert_eq!(told, vec![(1_060_000, 1), (1_060_000, 2), (1_060_000, 3), (1_060_000, 3)]);
    }

    #[test]
    fn a_client_is_told_when_to_come_back() {
        let reading = Reading {
            limit: 5,
            remaining: 2,
            reset: Timestamp::from_ms(1_700_000_000_001),
            wait: Duration::from_millis(1),
        };
        assert_eq!((reading.consumed(), reading.reset_s(), reading.retry_after_s()), (3, 1_700_000_001, 1));
    }

    proptest! {
        #[test]
        fn holders_together_never_pass_more_than_the_limit(
            limit in 1..200_u64, window_ms in 1000..5000_u64,
            steps in proptest::collection::vec((0..60_u64, 0..3_usize, any::<bool>()), 1..500),
        ) {
            let mut site = Site::new(limit, window_ms, 3);
            let mut ms = 1_000_000;
            for (pause_ms, holder, sweeps) in steps {
                ms += pause_ms;
                if sweeps {
                    site.sweep(ms);
                }
                site.request(holder, ms);
                prop_assert!(site.passed.values().all(|count| *count <= limit), "{:?}", site.passed);
            }
        }
    }
}

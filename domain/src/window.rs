//! Windows of rate limits and quotas: how much of a limit is left, and how much of it is leased to a gateway.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use crate::time::Timestamp;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Number of times that a key's limit got a new window length or was removed. A window belongs to one
/// generation: the first lease of a later generation starts a new window.
pub type Generation = u32;

/// Generations of a key's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Generations {
    /// Generation of the rate limit.
    pub rate_limit: Generation,
    /// Generation of the quota.
    pub quota: Generation,
}

/// State of one counter: the current window of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterWindow {
    /// End of the window, on the store's clock.
    pub ends_at: Timestamp,
    /// Requests leased in the window.
    pub leased: u64,
    /// Generation of the limit that started the window.
    pub generation: Generation,
    /// Limit as last known in that generation.
    pub limit: u64,
    /// Length of the windows in that generation. `None` for calendar windows.
    pub length: Option<Duration>,
}

/// A limit as known to the holder of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Maximum number of requests per window.
    pub max_requests: u64,
    /// Start and end of the windows.
    pub window_kind: WindowKind,
    /// Generation of the limit, see [`Generation`].
    pub generation: Generation,
}

/// When the windows of a limit start and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// Windows of this length. One starts with the first use after the previous one ended.
    FromFirstUse(Duration),
    /// Calendar windows. The store's clock selects the window. The three times are the ends of the previous,
    /// the current and the next window by the caller's clock, which may be ahead or behind.
    Calendar([Timestamp; 3]),
}

/// Calendar period, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the first of the next.
    Month,
}

impl Period {
    /// Returns the name used in the API and in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Month => "month",
        }
    }

    /// Parses the output of [`Period::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Period::Day, Period::Month].into_iter().find(|period| period.as_str() == text)
    }

    /// Returns the calendar windows around `now`.
    pub fn window_kind(self, now: Timestamp) -> WindowKind {
        match self {
            Period::Day => {
                let midnight_ms = now.as_ms() / DAY_MS * DAY_MS;
                WindowKind::Calendar([0, 1, 2].map(|days| Timestamp::from_ms(midnight_ms + days * DAY_MS)))
            }
            Period::Month => {
                let first = now.date().first_of_month();
                WindowKind::Calendar([0, 1, 2].map(|months| months_after(first, months)))
            }
        }
    }
}

/// Returns the start of the month that contains a time, in UTC.
pub fn start_of_month(timestamp: Timestamp) -> Timestamp {
    months_after(timestamp.date().first_of_month(), 0)
}

fn months_after(first: civil::Date, months: i64) -> Timestamp {
    let date = first.saturating_add(jiff::Span::new().months(months));
    let timestamp = TimeZone::UTC.to_timestamp(date.to_datetime(civil::Time::midnight()));
    timestamp.map_or(Timestamp::MAX, |moment| Timestamp::from_ms(moment.as_millisecond().unsigned_abs()))
}

impl WindowKind {
    /// Returns the end of a window that starts now.
    fn window_end(self, now: Timestamp) -> Timestamp {
        match self {
            WindowKind::FromFirstUse(length) => now.plus(length),
            // The caller's clock is behind by more than a period: a window of a day is better than no limit.
            WindowKind::Calendar(ends) => {
                ends.into_iter().find(|end| now < *end).unwrap_or(now.plus(Duration::from_millis(DAY_MS)))
            }
        }
    }

    /// Returns the length of every window, or `None` for calendar windows.
    pub fn length(self) -> Option<Duration> {
        match self {
            WindowKind::FromFirstUse(length) => Some(length),
            WindowKind::Calendar(_) => None,
        }
    }

    /// Returns the length of the longest window.
    pub fn max_length(self) -> Duration {
        match self {
            WindowKind::FromFirstUse(length) => length,
            WindowKind::Calendar([last, current, next]) => current.since(last).max(next.since(current)),
        }
    }
}

impl CounterWindow {
    /// Returns whether a lease of this limit continues the window. A window that ends more than a full window
    /// from now was started by a clock that has since stepped back, and is over.
    fn is_current(&self, limit: &Limit, now: Timestamp) -> bool {
        let is_of_later_generation = self.generation > limit.generation;
        let is_plausible =
            || self.generation == limit.generation && self.ends_at <= now.plus(limit.window_kind.max_length());
        now < self.ends_at && (is_of_later_generation || is_plausible())
    }
}

/// Grant of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseGrant {
    /// Number of requests that the holder may pass; 0 if the limit is exhausted.
    pub granted: u64,
    /// Number of requests left for other holders in this window.
    pub left_for_others: u64,
    /// Time until the end of the window.
    pub resets_in: Duration,
    /// End of the window, on the store's clock.
    pub reset: Timestamp,
}

/// Leases up to `requested` requests of a limit. A holder that does not know a later generation yet is bound to
/// the limit of that generation, even if it is the first in a new window.
pub fn lease(
    before: Option<CounterWindow>,
    limit: Limit,
    requested: u64,
    now: Timestamp,
) -> (CounterWindow, LeaseGrant) {
    let current = before.filter(|window| window.is_current(&limit, now));
    let window = match current {
        Some(window) if window.generation == limit.generation => CounterWindow { limit: limit.max_requests, ..window },
        Some(window) => window,
        None => start_window(before, limit, now),
    };
    let granted = requested.min(window.limit.saturating_sub(window.leased));
    let after = CounterWindow { leased: window.leased + granted, ..window };
    let grant = LeaseGrant {
        granted,
        left_for_others: window.limit.saturating_sub(after.leased),
        resets_in: window.ends_at.since(now),
        reset: window.ends_at,
    };
    (after, grant)
}

fn start_window(before: Option<CounterWindow>, limit: Limit, now: Timestamp) -> CounterWindow {
    let (generation, length) = (limit.generation, limit.window_kind.length());
    match before {
        Some(later) if later.generation > generation => {
            let ends_at = later.length.map_or_else(|| limit.window_kind.window_end(now), |length| now.plus(length));
            CounterWindow { ends_at, leased: 0, ..later }
        }
        Some(_) | None => CounterWindow {
            ends_at: limit.window_kind.window_end(now),
            leased: 0,
            generation,
            limit: limit.max_requests,
            length,
        },
    }
}

/// Unused part of a lease, with the window it was leased from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnusedLease {
    /// Generation of the limit.
    pub generation: Generation,
    /// End of the window.
    pub reset: Timestamp,
    /// Number of unused requests.
    pub count: u64,
}

/// Returns unused requests to their window. Returns `None` if that window is over.
pub fn return_unused(before: CounterWindow, unused: UnusedLease, now: Timestamp) -> Option<CounterWindow> {
    let is_current = before.generation == unused.generation && before.ends_at == unused.reset && now < before.ends_at;
    is_current.then(|| CounterWindow { leased: before.leased.saturating_sub(unused.count), ..before })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rolling(count: u64, seconds: u64, generation: Generation) -> Limit {
        Limit { max_requests: count, window_kind: WindowKind::FromFirstUse(Duration::from_secs(seconds)), generation }
    }

    proptest! {
        #[test]
        fn no_window_grants_more_than_its_limit(
            count in 0..50_u64, steps in proptest::collection::vec((0..400_u64, 0..20_u64, 0..5_u64), 1..60),
        ) {
            let limit = rolling(count, 1, 0);
            let mut now = Timestamp::from_ms(1);
            let mut window = None;
            let mut granted = std::collections::HashMap::new();
            for (pause_ms, want, back) in steps {
                now = now.plus(Duration::from_millis(pause_ms));
                let (after, grant) = lease(window, limit, want, now);
                let total = granted.entry(grant.reset).or_insert(0);
                *total += grant.granted;
                prop_assert!(*total <= count);
                prop_assert_eq!(grant.left_for_others, count - *total);
                prop_assert!(now < grant.reset);
                // No holder returns more than it was granted.
                let unused = UnusedLease { generation: 0, reset: grant.reset, count: back.min(grant.granted) };
                *total -= unused.count;
                window = return_unused(after, unused, now);
                prop_assert_eq!(window.map(|window| window.leased), Some(*total));
                prop_assert_eq!(return_unused(after, unused, grant.reset), None);
            }
        }

        /// In whatever order processes learn of changes and return tokens, a window of the latest generation
        /// never grants more than the latest limit, and no token of an older window is returned into it.
        #[test]
        fn a_new_generation_starts_at_zero_and_is_exact(
            old_s in 1..120_u64, steps in proptest::collection::vec((0..9_000_u64, any::<bool>(), 1..9_u64, 0..9_u64), 1..80),
        ) {
            let (old, new) = (rolling(5, old_s, 1), rolling(7, 30, 2));
            let mut now = Timestamp::from_ms(1_000_000);
            let mut window = None;
            let mut granted = std::collections::HashMap::<Timestamp, u64>::new();
            let mut stale = UnusedLease { generation: 1, reset: now, count: 0 };
            let mut is_known = false;
            for (pause_ms, is_informed, want, back) in steps {
                now = now.plus(Duration::from_millis(pause_ms));
                let limit = if is_informed { new } else { old };
                let (after, grant) = lease(window, limit, want, now);
                is_known |= is_informed;
                prop_assert_eq!(after.generation == new.generation, is_known);
                if is_known {
                    prop_assert!(grant.resets_in <= Duration::from_secs(30));
                    let total = granted.entry(grant.reset).or_insert(0);
                    *total += grant.granted;
                    prop_assert!(*total <= new.max_requests, "{granted:?}");
                    prop_assert_eq!(after.leased, *total);
                    prop_assert_eq!(return_unused(after, UnusedLease { count: back, ..stale }, now), None);
                } else {
                    stale = UnusedLease { generation: 1, reset: grant.reset, count: 0 };
                }
                window = Some(after);
            }
        }
    }

    #[test]
    fn only_another_generation_ends_a_window_before_its_time() {
        let now = Timestamp::from_ms(1_000_000);
        let later = now.plus(Duration::from_secs(1));
        let (used, first) = lease(None, rolling(10, 60, 0), 10, now);
        let leased = |limit: Limit| {
            let (after, grant) = lease(Some(used), limit, 1, later);
            (grant.granted, grant.left_for_others, grant.reset, after.generation)
        };
        // A new number alone keeps the window.
        assert_eq!(leased(rolling(11, 60, 0)), (1, 0, first.reset, 0));
        assert_eq!(leased(rolling(5, 60, 0)), (0, 0, first.reset, 0));
        // A new length, or the same limit removed and set again.
        assert_eq!(leased(rolling(10, 30, 1)), (1, 9, later.plus(Duration::from_secs(30)), 1));
        assert_eq!(leased(rolling(10, 60, 1)), (1, 9, later.plus(Duration::from_secs(60)), 1));
        // A holder that does not know the later generation is bound to it.
        let (newer, reset) = lease(Some(used), rolling(2, 60, 1), 2, later);
        let (_, refused) = lease(Some(newer), rolling(10, 60, 0), 5, later);
        assert_eq!((refused.granted, refused.left_for_others, refused.reset), (0, 0, reset.reset));
    }

    #[test]
    fn a_clock_that_steps_back_locks_nobody_out() {
        let now = Timestamp::parse("2026-11-25T12:00:00Z").unwrap();
        let yesterday = Timestamp::parse("2026-11-24T12:00:00Z").unwrap();
        for window_kind in [
            |_| WindowKind::FromFirstUse(Duration::from_secs(10)),
            |_| WindowKind::FromFirstUse(Duration::from_secs(3600)),
            |now: Timestamp| Period::Day.window_kind(now),
        ] {
            let limit = |now| Limit { max_requests: 3, window_kind: window_kind(now), generation: 0 };
            let (used_up, _) = lease(None, limit(now), 3, now);
            let (after, grant) = lease(Some(used_up), limit(yesterday), 1, yesterday);
            assert_eq!((grant.granted, grant.left_for_others, after.leased), (1, 2, 1));
            assert!(grant.resets_in <= limit(yesterday).window_kind.max_length());
        }
        let month =
            |now: Timestamp| Limit { max_requests: 3, window_kind: Period::Month.window_kind(now), generation: 0 };
        let (used_up, _) = lease(None, month(now), 3, now);
        assert_eq!(lease(Some(used_up), month(yesterday), 1, yesterday).1.granted, 0, "the same month");
        let months_ago = Timestamp::parse("2026-09-25T12:00:00Z").unwrap();
        assert_eq!(lease(Some(used_up), month(months_ago), 1, months_ago).1.granted, 1);
    }

    #[test]
    fn calendar_windows_end_with_their_day_or_month_in_utc() {
        let end = |period: Period, now: &str| {
            let now = Timestamp::parse(now).unwrap();
            let limit = Limit { max_requests: 1, window_kind: period.window_kind(now), generation: 0 };
            let (_, grant) = lease(None, limit, 1, now);
            grant.reset.to_string()
        };
        assert_eq!(end(Period::Day, "2026-11-25T00:00:00Z"), "2026-11-26T00:00:00.000Z");
        assert_eq!(end(Period::Day, "2026-12-31T23:59:59.999Z"), "2027-01-01T00:00:00.000Z");
        assert_eq!(end(Period::Month, "2026-11-30T23:59:59.999Z"), "2026-12-01T00:00:00.000Z");
        assert_eq!(end(Period::Month, "2026-12-01T00:00:00Z"), "2027-01-01T00:00:00.000Z");
        assert_eq!(end(Period::Month, "2028-02-29T12:00:00Z"), "2028-03-01T00:00:00.000Z");
    }

    #[test]
    fn the_store_clock_selects_the_calendar_window() {
        let caller = Timestamp::parse("2026-11-25T00:00:01Z").unwrap();
        for (store, end) in [
            ("2026-11-24T23:59:59Z", "2026-11-25T00:00:00.000Z"),
            ("2026-11-25T00:00:00Z", "2026-11-26T00:00:00.000Z"),
            ("2026-11-26T00:00:00Z", "2026-11-27T00:00:00.000Z"),
            ("2026-11-27T12:00:00Z", "2026-11-28T12:00:00.000Z"),
        ] {
            let limit = Limit { max_requests: 1, window_kind: Period::Day.window_kind(caller), generation: 0 };
            let (_, grant) = lease(None, limit, 1, Timestamp::parse(store).unwrap());
            assert_eq!(grant.reset.to_string(), end, "{store}");
        }
    }
}

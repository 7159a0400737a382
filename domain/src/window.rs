//! Windows of rate limits and quotas: what is left of a limit, and what of it is leased to one gateway.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use crate::time::Timestamp;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Counts how often a limit got another window length, or was removed, in a key's life. A window belongs to one
/// generation: the first lease of a later one starts a new window.
pub type Generation = u32;

/// The generations of a key's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Generations {
    /// Of its rate limit.
    pub rate_limit: Generation,
    /// Of its quota.
    pub quota: Generation,
}

/// The state of one meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterWindow {
    /// The moment at which the window ends.
    pub ends_at: Timestamp,
    /// What was leased in it.
    pub leased: u64,
    /// The generation of the limit that started it.
    pub generation: Generation,
    /// The limit as last known in that generation.
    pub limit: u64,
    /// The length of its windows in that generation; none of a calendar.
    pub length: Option<Duration>,
}

/// A limit as the holder of a lease knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Requests in a window.
    pub max_requests: u64,
    /// When its windows begin and end.
    pub window_kind: WindowKind,
    /// See [`Generation`].
    pub generation: Generation,
}

/// When the windows of a limit begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// A window starts with the first consumption after the last one ended, and is so long.
    FromFirstUse(Duration),
    /// Windows are those of a calendar. The store's clock says which it is: these are the end of the one before, of
    /// the current one and of the next by the clock of the caller, which may go before or after.
    Calendar([Timestamp; 3]),
}

/// A part of a calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the first of the next.
    Month,
}

impl Period {
    /// As it stands in the API and in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Month => "month",
        }
    }

    /// Reads what [`Period::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Period::Day, Period::Month].into_iter().find(|period| period.as_str() == text)
    }

    /// The windows around a moment.
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

/// The beginning of the month of a moment, in UTC.
pub fn start_of_month(timestamp: Timestamp) -> Timestamp {
    months_after(timestamp.date().first_of_month(), 0)
}

fn months_after(first: civil::Date, months: i64) -> Timestamp {
    let date = first.saturating_add(jiff::Span::new().months(months));
    let timestamp = TimeZone::UTC.to_timestamp(date.to_datetime(civil::Time::midnight()));
    timestamp.map_or(Timestamp::MAX, |moment| Timestamp::from_ms(moment.as_millisecond().unsigned_abs()))
}

impl WindowKind {
    /// When a window ends that begins now.
    fn window_end(self, now: Timestamp) -> Timestamp {
        match self {
            WindowKind::FromFirstUse(length) => now.plus(length),
            // A clock that is behind by more than a period: better a limit by the day than none.
            WindowKind::Calendar(ends) => {
                ends.into_iter().find(|end| now < *end).unwrap_or(now.plus(Duration::from_millis(DAY_MS)))
            }
        }
    }

    /// The length of every window; none of a calendar.
    pub fn length(self) -> Option<Duration> {
        match self {
            WindowKind::FromFirstUse(length) => Some(length),
            WindowKind::Calendar(_) => None,
        }
    }

    /// The length of the longest window.
    pub fn max_length(self) -> Duration {
        match self {
            WindowKind::FromFirstUse(length) => length,
            WindowKind::Calendar([last, current, next]) => current.since(last).max(next.since(current)),
        }
    }
}

impl CounterWindow {
    /// Whether a lease of this limit continues the window. A window that ends later than a whole window from now was
    /// started by a clock that has since stepped back, and ends at once.
    fn is_current(&self, limit: &Limit, now: Timestamp) -> bool {
        let is_of_later_generation = self.generation > limit.generation;
        let is_plausible =
            || self.generation == limit.generation && self.ends_at <= now.plus(limit.window_kind.max_length());
        now < self.ends_at && (is_of_later_generation || is_plausible())
    }
}

/// A slice of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseGrant {
    /// How many requests the holder may let pass; 0 if the limit is used up.
    pub granted: u64,
    /// How many are left for others in this window.
    pub left_for_others: u64,
    /// How long until the window ends.
    pub resets_in: Duration,
    /// When the window ends, on the store's clock.
    pub reset: Timestamp,
}

/// Leases up to `want` requests of a limit. A process that has not yet heard of a later generation is held to the limit
/// of that one, also where it is the first in a new window.
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

/// Part of a lease that was not used, with the window from which it was leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnusedLease {
    /// The generation of the limit.
    pub generation: Generation,
    /// When the window ends.
    pub reset: Timestamp,
    /// How many requests.
    pub count: u64,
}

/// Takes back what was leased and not used; none if the window from which it was leased is over.
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
                // Nobody gives back more than was granted.
                let unused = UnusedLease { generation: 0, reset: grant.reset, count: back.min(grant.granted) };
                *total -= unused.count;
                window = return_unused(after, unused, now);
                prop_assert_eq!(window.map(|window| window.leased), Some(*total));
                prop_assert_eq!(return_unused(after, unused, grant.reset), None);
            }
        }

        /// Whatever the order in which processes hear of changes and give back, a window of the newest generation
        /// never grants more than the newest limit, and nothing of an older window is given back into it.
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
        // The number alone keeps the window.
        assert_eq!(leased(rolling(11, 60, 0)), (1, 0, first.reset, 0));
        assert_eq!(leased(rolling(5, 60, 0)), (0, 0, first.reset, 0));
        // Another length, or the same one set again.
        assert_eq!(leased(rolling(10, 30, 1)), (1, 9, later.plus(Duration::from_secs(30)), 1));
        assert_eq!(leased(rolling(10, 60, 1)), (1, 9, later.plus(Duration::from_secs(60)), 1));
        // Who has not heard of it is held to it.
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
    fn windows_of_a_calendar_end_with_their_day_or_month_in_utc() {
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

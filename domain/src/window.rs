//! Windows of rate limits and quotas: what is left of a limit, and what of it is leased to one gateway.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use crate::time::Timestamp;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// The state of one meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The moment at which the window ends.
    pub ends_at: Timestamp,
    /// What was leased in it.
    pub leased: u64,
}

/// When the windows of a limit begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// A window starts with the first consumption after the last one ended, and is so long.
    Rolling(Duration),
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
    pub fn span(self, now: Timestamp) -> Span {
        match self {
            Period::Day => {
                let midnight_ms = now.as_ms() / DAY_MS * DAY_MS;
                Span::Calendar([0, 1, 2].map(|days| Timestamp::from_ms(midnight_ms + days * DAY_MS)))
            }
            Period::Month => {
                let first = now.date().first_of_month();
                Span::Calendar([0, 1, 2].map(|months| months_after(first, months)))
            }
        }
    }
}

/// The beginning of the month of a moment, in UTC.
pub fn start_of_month(moment: Timestamp) -> Timestamp {
    months_after(moment.date().first_of_month(), 0)
}

fn months_after(first: civil::Date, months: i64) -> Timestamp {
    let date = first.saturating_add(jiff::Span::new().months(months));
    let moment = TimeZone::UTC.to_timestamp(date.to_datetime(civil::Time::midnight()));
    moment.map_or(Timestamp::MAX, |moment| Timestamp::from_ms(moment.as_millisecond().unsigned_abs()))
}

impl Span {
    /// When a window ends that begins now.
    fn end(self, now: Timestamp) -> Timestamp {
        match self {
            Span::Rolling(length) => now.plus(length),
            // A clock that is behind by more than a period: better a limit by the day than none.
            Span::Calendar(ends) => {
                ends.into_iter().find(|end| now < *end).unwrap_or(now.plus(Duration::from_millis(DAY_MS)))
            }
        }
    }
}

/// A slice of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How many requests the holder may let pass; 0 if the limit is used up.
    pub granted: u64,
    /// How many are left for others in this window.
    pub left: u64,
    /// How long until the window ends.
    pub remaining: Duration,
    /// When the window ends, on the store's clock.
    pub reset: Timestamp,
}

/// Leases up to `want` requests of `limit`.
pub fn lease(before: Option<Window>, limit: u64, span: Span, want: u64, now: Timestamp) -> (Window, Allowance) {
    let current = before.filter(|window| now < window.ends_at);
    let window = current.unwrap_or(Window { ends_at: span.end(now), leased: 0 });
    let granted = want.min(limit.saturating_sub(window.leased));
    let after = Window { leased: window.leased + granted, ..window };
    let allowance = Allowance {
        granted,
        left: limit.saturating_sub(after.leased),
        remaining: window.ends_at.since(now),
        reset: window.ends_at,
    };
    (after, allowance)
}

/// Takes back `count` of what was leased in the window that ends at `reset`; none if that window is over.
pub fn give_back(before: Window, reset: Timestamp, count: u64, now: Timestamp) -> Option<Window> {
    let is_current = before.ends_at == reset && now < before.ends_at;
    is_current.then(|| Window { leased: before.leased.saturating_sub(count), ..before })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_window_grants_more_than_its_limit(
            limit in 0..50_u64, steps in proptest::collection::vec((0..400_u64, 0..20_u64, 0..5_u64), 1..60),
        ) {
            let span = Span::Rolling(Duration::from_secs(1));
            let mut now = Timestamp::from_ms(1);
            let mut window = None;
            let mut granted = std::collections::HashMap::new();
            for (pause_ms, want, back) in steps {
                now = now.plus(Duration::from_millis(pause_ms));
                let (after, allowance) = lease(window, limit, span, want, now);
                let total = granted.entry(allowance.reset).or_insert(0);
                *total += allowance.granted;
                prop_assert!(*total <= limit);
                prop_assert_eq!(allowance.left, limit - *total);
                prop_assert!(now < allowance.reset);
                // Nobody gives back more than was granted.
                let back = back.min(allowance.granted);
                *total -= back;
                window = give_back(after, allowance.reset, back, now);
                prop_assert_eq!(window.map(|window| window.leased), Some(*total));
                prop_assert_eq!(give_back(after, allowance.reset, back, allowance.reset), None);
            }
        }
    }

    #[test]
    fn windows_of_a_calendar_end_with_their_day_or_month_in_utc() {
        let end = |period: Period, now: &str| {
            let now = Timestamp::parse(now).unwrap();
            let (_, allowance) = lease(None, 1, period.span(now), 1, now);
            allowance.reset.to_string()
        };
        assert_eq!(end(Period::Day, "2026-11-25T00:00:00Z"), "2026-11-26T00:00:00.000Z");
        assert_eq!(end(Period::Day, "2026-12-31T23:59:59.999Z"), "2027-01-01T00:00:00.000Z");
        assert_eq!(end(Period::Month, "2026-11-30T23:59:59.999Z"), "2026-12-01T00:00:00.000Z");
        assert_eq!(end(Period::Month, "2026-12-01T00:00:00Z"), "2027-01-01T00:00:00.000Z");
        assert_eq!(end(Period::Month, "2028-02-29T12:00:00Z"), "2028-03-01T00:00:00.000Z");
    }

    #[test]
    fn the_stores_clock_says_which_window_of_a_calendar_it_is() {
        let caller = Timestamp::parse("2026-11-25T00:00:01Z").unwrap();
        for (store, end) in [
            ("2026-11-24T23:59:59Z", "2026-11-25T00:00:00.000Z"),
            ("2026-11-25T00:00:00Z", "2026-11-26T00:00:00.000Z"),
            ("2026-11-26T00:00:00Z", "2026-11-27T00:00:00.000Z"),
            ("2026-11-27T12:00:00Z", "2026-11-28T12:00:00.000Z"),
        ] {
            let (_, allowance) = lease(None, 1, Period::Day.span(caller), 1, Timestamp::parse(store).unwrap());
            assert_eq!(allowance.reset.to_string(), end, "{store}");
        }
    }
}

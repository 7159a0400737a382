//! How precisely uses are kept: by the hour at first, then by the day, then by the month.

use std::time::Duration;

use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::{Grouping, HOUR_MS};

const DAY_MS: u64 = 24 * HOUR_MS;
/// Longer than any month.
const LONGEST_MONTH: Duration = Duration::from_millis(32 * DAY_MS);

/// How long uses are kept, and how precisely. Days and months are those of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageRetention {
    /// Days after which the hours of a day become one number.
    pub hourly_days: u64,
    /// Days after which the days of a month become one number.
    pub daily_days: u64,
    /// Months after which a month is forgotten.
    pub monthly_months: u64,
}

impl UsageRetention {
    /// Hours for 7 days, days for 90, months for two years.
    pub const DEFAULT: Self = Self { hourly_days: 7, daily_days: 90, monthly_months: 24 };

    /// Returns the period as which an hour is kept, and its start; `None` if it is forgotten.
    pub(super) fn period(self, hour: Timestamp, now: Timestamp) -> Option<(Grouping, Timestamp)> {
        let days_ago = |at: Timestamp| day(now).saturating_sub(day(at));
        let month = Grouping::Month.bucket_start(hour);
        let last_day = Grouping::Month.bucket_start(month.plus(LONGEST_MONTH)).minus(Duration::from_millis(1));
        let grouping = if days_ago(hour) <= self.hourly_days {
            Grouping::Hour
        } else if days_ago(last_day) <= self.daily_days {
            Grouping::Day
        } else if self.months_ago(month, now) <= self.monthly_months {
            Grouping::Month
        } else {
            return None;
        };
        Some((grouping, grouping.bucket_start(hour)))
    }

    /// Returns how many months ago a month began, at most one more than are kept.
    fn months_ago(self, month: Timestamp, now: Timestamp) -> u64 {
        let current = Grouping::Month.bucket_start(now);
        let mut at = month;
        let before = |_: &u64| {
            let is_before = at < current;
            at = Grouping::Month.bucket_start(at.plus(LONGEST_MONTH));
            is_before
        };
        (0..=self.monthly_months).take_while(before).count() as u64
    }
}

fn day(at: Timestamp) -> u64 {
    at.as_ms() / DAY_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_becomes_part_of_its_day_then_of_its_month_and_is_then_forgotten() {
        let now = Timestamp::parse("2026-11-28T10:30:00Z").unwrap();
        let kept = |hour: &str| {
            let period = UsageRetention::DEFAULT.period(Timestamp::parse(hour).unwrap(), now);
            period.map(|(grouping, start)| format!("{} {}", grouping.as_str(), &start.to_string()[..16]))
        };
        for (hour, period) in [
            ("2026-11-28T10:00:00Z", "hour 2026-11-28T10:00"),
            ("2026-11-29T10:00:00Z", "hour 2026-11-29T10:00"),
            ("2026-11-21T01:00:00Z", "hour 2026-11-21T01:00"),
            ("2026-11-20T23:00:00Z", "day 2026-11-20T00:00"),
            ("2026-08-01T23:00:00Z", "day 2026-08-01T00:00"),
            ("2026-07-31T23:00:00Z", "month 2026-07-01T00:00"),
            ("2024-11-01T00:00:00Z", "month 2024-11-01T00:00"),
        ] {
            assert_eq!(kept(hour).as_deref(), Some(period), "{hour}");
        }
        assert_eq!(kept("2024-10-31T23:00:00Z"), None);
        assert_eq!(kept("1970-01-01"), None);
    }
}

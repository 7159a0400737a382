//! Usage reports: time buckets over which the uses of keys are summed.

use crate::time::Timestamp;
use crate::window;

/// Milliseconds of an hour, the resolution in which uses are counted.
pub const HOUR_MS: u64 = 3_600_000;

/// Bucket size of a usage report, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
}

impl Grouping {
    /// Returns the name used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Grouping::Hour => "hour",
            Grouping::Day => "day",
            Grouping::Month => "month",
        }
    }

    /// Parses the output of [`Grouping::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Grouping::Hour, Grouping::Day, Grouping::Month].into_iter().find(|grouping| grouping.as_str() == text)
    }

    /// Returns the start of the bucket that contains a time.
    pub fn bucket_start(self, at: Timestamp) -> Timestamp {
        let truncate = |length_ms: u64| Timestamp::from_ms(at.as_ms() / length_ms * length_ms);
        match self {
            Grouping::Hour => truncate(HOUR_MS),
            Grouping::Day => truncate(24 * HOUR_MS),
            Grouping::Month => window::start_of_month(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_starts_on_its_hour_day_or_month() {
        let at = Timestamp::parse("2026-11-25T13:14:15.016Z").unwrap();
        for (name, start) in [
            ("hour", "2026-11-25T13:00:00.000Z"),
            ("day", "2026-11-25T00:00:00.000Z"),
            ("month", "2026-11-01T00:00:00.000Z"),
        ] {
            assert_eq!(Grouping::parse(name).unwrap().bucket_start(at).to_string(), start);
        }
        assert_eq!(Grouping::parse("year"), None);
    }
}

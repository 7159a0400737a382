//! Usage: how uses of keys are put together in time.

use crate::time::Timestamp;
use crate::window;

/// Milliseconds of an hour: uses are counted by the hour.
pub const HOUR_MS: u64 = 3_600_000;

/// What one number of a report covers, in UTC.
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
    /// As it stands in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Grouping::Hour => "hour",
            Grouping::Day => "day",
            Grouping::Month => "month",
        }
    }

    /// Reads what [`Grouping::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Grouping::Hour, Grouping::Day, Grouping::Month].into_iter().find(|grouping| grouping.as_str() == text)
    }

    /// The beginning of what covers a moment.
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
    fn a_group_begins_on_its_hour_day_or_month() {
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

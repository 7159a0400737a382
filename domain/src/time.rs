//! Timestamps, and versions, which are timestamps of the store with a sequence number.

use std::fmt;
use std::time::Duration;

use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, civil};

const EPOCH: civil::DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);

/// Wall time in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// Error for a text that is not a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time: use RFC 3339, YYYY-MM-DD or YYYY-MM-DD HH:MM:SS (UTC) after 1970")]
pub struct ParseTimestampError;

impl Timestamp {
    /// Latest timestamp that is ever written: the end of the year 9999.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999);

    /// Creates a timestamp from milliseconds since the epoch, capped at [`Timestamp::MAX`].
    pub fn from_ms(ms: u64) -> Self {
        Self(ms.min(Self::MAX.0))
    }

    /// Returns milliseconds since the epoch.
    pub fn as_ms(self) -> u64 {
        self.0
    }

    /// Returns whole seconds since the epoch, as in `webhook-timestamp` and `ratelimit-reset`.
    pub fn as_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Returns the time `duration` later, capped at [`Timestamp::MAX`].
    pub fn plus(self, duration: Duration) -> Self {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self::from_ms(self.0.saturating_add(ms))
    }

    /// Returns the time `duration` earlier, at least the epoch.
    pub fn minus(self, duration: Duration) -> Self {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(ms))
    }

    /// Formats as an HTTP date (RFC 9110 section 5.6.7): `Thu, 26 Nov 2026 10:00:00 GMT`.
    pub fn to_http_date(self) -> String {
        let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
        printer.timestamp_to_rfc9110_string(&self.to_jiff()).expect("a year up to 9999 is written in four digits")
    }

    /// Returns the time elapsed since `earlier`, or zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Parses RFC 3339, `YYYY-MM-DD`, or `YYYY-MM-DD HH:MM:SS`, the last two as UTC.
    ///
    /// # Errors
    /// Fails if the text has none of these forms or lies before 1970.
    pub fn parse(text: &str) -> Result<Self, ParseTimestampError> {
        let text = text.trim();
        if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
            return Self::from_jiff(timestamp);
        }
        // No offset, or in the last hours of the year 9999, which people use for "never" and which
        // `jiff::Timestamp` does not reach.
        let pieces = Pieces::parse(text).map_err(|_| ParseTimestampError)?;
        let civil = pieces.date().to_datetime(pieces.time().unwrap_or_default());
        Self::from_civil(civil, pieces.to_numeric_offset().map_or(0, |offset| offset.seconds()))
    }

    /// Returns the day in UTC.
    pub(crate) fn date(self) -> civil::Date {
        TimeZone::UTC.to_datetime(self.to_jiff()).date()
    }

    fn to_jiff(self) -> jiff::Timestamp {
        let timestamp = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        // `jiff::Timestamp` ends some hours before the year 9999 does, so that its maximum exists in every time
        // zone.
        timestamp.unwrap_or(jiff::Timestamp::MAX)
    }

    fn to_civil(self) -> civil::DateTime {
        let since_epoch = i64::try_from(self.0).map(SignedDuration::from_millis).unwrap_or(SignedDuration::MAX);
        EPOCH.checked_add(since_epoch).unwrap_or(civil::DateTime::MAX)
    }

    /// Converts a civil time at an offset of `offset_s` seconds east of UTC.
    fn from_civil(civil: civil::DateTime, offset_s: i32) -> Result<Self, ParseTimestampError> {
        let since_epoch = civil.duration_since(EPOCH).as_millis() - i128::from(offset_s) * 1000;
        u64::try_from(since_epoch).map(Self::from_ms).map_err(|_| ParseTimestampError)
    }

    fn from_jiff(timestamp: jiff::Timestamp) -> Result<Self, ParseTimestampError> {
        u64::try_from(timestamp.as_millisecond()).map(Self::from_ms).map_err(|_| ParseTimestampError)
    }
}

/// Formats as RFC 3339 in UTC with milliseconds and `Z`: `2026-11-23T10:00:00.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}Z", self.to_civil())
    }
}

/// Position in the stream, which is also the version of every record that the change wrote: milliseconds of the
/// store's clock and a sequence number, packed into one number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(u64);

/// Bits of the sequence number within a millisecond.
pub const SEQUENCE_BITS: u32 = 20;

impl Version {
    /// Position before every change.
    pub const ZERO: Version = Version(0);
    /// Position after every change.
    pub const MAX: Version = Version(u64::MAX);

    /// Unpacks a version from its number.
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// Returns the version as one number.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns the time of the change on the store's clock.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_ms(self.0 >> SEQUENCE_BITS)
    }

    /// Returns the version that follows `self` at store time `now`. Versions are strictly increasing even if
    /// the clock goes back; a full millisecond carries into the next one.
    pub fn next(self, now: Timestamp) -> Self {
        Self((now.as_ms() << SEQUENCE_BITS).max(self.0 + 1))
    }

    /// Returns milliseconds and sequence number, the two parts of a Redis stream id.
    pub fn parts(self) -> (u64, u64) {
        (self.0 >> SEQUENCE_BITS, self.0 & ((1 << SEQUENCE_BITS) - 1))
    }

    /// Creates a version from the two parts of a Redis stream id.
    pub fn from_parts(ms: u64, sequence: u64) -> Self {
        Self((ms << SEQUENCE_BITS) + sequence)
    }

    /// Creates a version from two parts that were read from somewhere; `None` if one of them does not fit its bits.
    pub fn checked_from_parts(ms: u64, sequence: u64) -> Option<Self> {
        let fits = ms <= u64::MAX >> SEQUENCE_BITS && sequence < 1 << SEQUENCE_BITS;
        fits.then(|| Self::from_parts(ms, sequence))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, sequence) = self.parts();
        write!(f, "{ms}-{sequence}")
    }
}

/// Milliseconds of a monotonic clock that includes suspended time (CLOCK_BOOTTIME).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Uptime(u64);

impl Uptime {
    /// Creates an uptime from milliseconds since a fixed time of this machine.
    pub fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Returns milliseconds since a fixed time of this machine.
    pub fn as_ms(self) -> u64 {
        self.0
    }

    /// Returns the time elapsed since `earlier`, or zero if `earlier` is later.
    pub fn since(self, earlier: Uptime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns the time `duration` later, saturating at the maximum.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Source of time for code with side effects. Pure rules take the time as an argument.
pub trait Clock: Send + Sync {
    /// Returns the wall time.
    fn now(&self) -> Timestamp;
    /// Returns the monotonic time, which includes suspended time.
    fn uptime(&self) -> Uptime;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_and_z() {
        assert_eq!(Timestamp::from_ms(1_700_000_000_000).to_string(), "2023-11-14T22:13:20.000Z");
        assert_eq!(Timestamp::from_ms(1_700_000_000_007).to_string(), "2023-11-14T22:13:20.007Z");
    }

    #[test]
    fn the_end_of_the_last_year_round_trips() {
        for (text, formatted) in [
            ("9999-12-31", "9999-12-31T00:00:00.000Z"),
            ("9999-12-31 23:59:59", "9999-12-31T23:59:59.000Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
            ("9999-12-31T23:59:59.999+00:00", "9999-12-31T23:59:59.999Z"),
            ("9999-12-31T23:59:59.9999999+02:00", "9999-12-31T21:59:59.999Z"),
            ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.999Z"),
        ] {
            let timestamp = Timestamp::parse(text).unwrap();
            assert_eq!(timestamp.to_string(), formatted, "{text}");
            assert_eq!(Timestamp::parse(formatted), Ok(timestamp), "{text}");
        }
    }

    #[test]
    fn http_dates_are_written_as_rfc_9110_says() {
        assert_eq!(Timestamp::from_ms(1_700_000_000_007).to_http_date(), "Tue, 14 Nov 2023 22:13:20 GMT");
        assert_eq!(Timestamp::from_ms(0).to_http_date(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(Timestamp::MAX.to_http_date(), "Thu, 30 Dec 9999 22:00:00 GMT");
    }

    #[test]
    fn the_three_forms_are_read_as_utc() {
        let day = Timestamp::parse("2050-01-01").unwrap();
        assert_eq!(day.to_string(), "2050-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::parse("2023-09-01 00:00:00").unwrap().to_string(), "2023-09-01T00:00:00.000Z");
        assert_eq!(Timestamp::parse("2050-01-01T02:00:00+02:00"), Ok(day));
        assert_eq!(Timestamp::parse("soon"), Err(ParseTimestampError));
        assert_eq!(Timestamp::parse("1960-01-01"), Err(ParseTimestampError));
    }

    #[test]
    fn versions_increase_when_the_clock_goes_back_and_carry_when_a_millisecond_is_full() {
        let first = Version::ZERO.next(Timestamp::from_ms(1000));
        assert_eq!(first.parts(), (1000, 0));
        assert_eq!(first.next(Timestamp::from_ms(10)).parts(), (1000, 1));
        let full = Version::from_parts(1000, (1 << SEQUENCE_BITS) - 1);
        assert_eq!(full.next(Timestamp::from_ms(1000)).parts(), (1001, 0));
    }
}

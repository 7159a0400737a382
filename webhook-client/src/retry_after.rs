//! The `Retry-After` header: seconds or an HTTP date (RFC 9110 section 10.2.3).

use std::time::Duration;

use gatepost_domain::time::Timestamp;

/// Returns the delay that a receiver requests, or `None` if the value cannot be parsed. A date in the past is
/// zero.
pub(crate) fn parse(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    let at = Timestamp::from_ms(u64::try_from(date.as_millisecond()).ok()?);
    Some(at.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        let now = Timestamp::parse("2026-11-24T10:00:00Z").unwrap();
        assert_eq!(parse("120", now), Some(Duration::from_secs(120)));
        assert_eq!(parse("Tue, 24 Nov 2026 10:01:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(parse("Tue, 24 Nov 2026 09:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(parse("soon", now), None);
        assert_eq!(parse("-5", now), None);
    }
}

//! Headers that tell about the use of a key, the same as at a gateway.

use gatepost_domain::slice::Reading;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::use_cases::authenticate::Authenticated;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const RATE_CONSUMED: HeaderName = HeaderName::from_static("ratelimit-consumed");

/// What the answer to a check that was passed carries.
pub(super) fn of_use(found: &Authenticated) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(sunset) = found.sunset {
        headers.insert(DEPRECATION, value(&sunset.deprecation()));
        headers.insert(SUNSET, value(&sunset.sunset()));
    }
    if let Some(reading) = &found.reading {
        add_reading(&mut headers, reading);
    }
    headers
}

/// What the answer to a check carries that came too often.
pub(super) fn add_refused(headers: &mut HeaderMap, reading: &Reading) {
    add_reading(headers, reading);
    headers.insert(RETRY_AFTER, value(&reading.retry_after_s().to_string()));
}

fn add_reading(headers: &mut HeaderMap, reading: &Reading) {
    headers.insert(RATE_LIMIT, value(&reading.limit.to_string()));
    headers.insert(RATE_REMAINING, value(&reading.remaining.to_string()));
    headers.insert(RATE_RESET, value(&reading.reset_s().to_string()));
    headers.insert(RATE_CONSUMED, value(&reading.consumed().to_string()));
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("numbers and dates make a header")
}

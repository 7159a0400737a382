//! Headers about the use of a key, the same as at a gateway.

use gatepost_control_plane::AuthenticatedKey;
use gatepost_domain::token_lease::LimitStatus;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const RATE_CONSUMED: HeaderName = HeaderName::from_static("ratelimit-consumed");

/// Returns the headers of a successful check.
pub(crate) fn for_authenticated(found: &AuthenticatedKey) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(sunset) = found.sunset {
        headers.insert(DEPRECATION, header_value(&sunset.deprecation_header()));
        headers.insert(SUNSET, header_value(&sunset.sunset_header()));
    }
    if let Some(limit_status) = &found.limit_status {
        add_limit_status(&mut headers, limit_status);
    }
    headers
}

/// Adds the headers of a check that exceeded a limit.
pub(crate) fn add_limit_exceeded(headers: &mut HeaderMap, limit_status: &LimitStatus) {
    add_limit_status(headers, limit_status);
    headers.insert(RETRY_AFTER, header_value(&limit_status.retry_after_s().to_string()));
}

fn add_limit_status(headers: &mut HeaderMap, limit_status: &LimitStatus) {
    headers.insert(RATE_LIMIT, header_value(&limit_status.limit.to_string()));
    headers.insert(RATE_REMAINING, header_value(&limit_status.remaining.to_string()));
    headers.insert(RATE_RESET, header_value(&limit_status.reset_s().to_string()));
    headers.insert(RATE_CONSUMED, header_value(&limit_status.used().to_string()));
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("numbers and dates make a header")
}

//! Headers that tell about the use of a key, the same as at a gateway.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::use_cases::authenticate::Authenticated;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// What the answer to a check that was passed carries.
pub(super) fn of_use(found: &Authenticated) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(sunset) = found.sunset {
        headers.insert(DEPRECATION, value(&sunset.deprecation()));
        headers.insert(SUNSET, value(&sunset.sunset()));
    }
    headers
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("numbers and dates make a header")
}

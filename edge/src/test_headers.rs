//! Headers of requests in unit tests.

use http::HeaderMap;

/// Returns fields in this order. Names may repeat.
pub(crate) fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

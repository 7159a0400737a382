//! Origin of the web page that sends a request.

use http::HeaderMap;
use http::header::{HeaderName, ORIGIN, REFERER};

/// Returns `Origin`, else `Referer`, which no page can forge. `x-origin-domain` is ignored, since any page can send
/// it.
pub(crate) fn page_origin(headers: &HeaderMap) -> Option<&str> {
    if headers.contains_key(ORIGIN) { single_value(headers, &ORIGIN) } else { single_value(headers, &REFERER) }
}

fn single_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_headers::headers;

    #[test]
    fn origin_takes_precedence_over_referer_and_must_be_single() {
        for (fields, expected) in [
            (&[][..], None),
            (&[("origin", "https://a.example"), ("referer", "https://b.example/")], Some("https://a.example")),
            (&[("referer", "https://b.example/x")], Some("https://b.example/x")),
            (&[("origin", "null"), ("referer", "https://b.example/")], Some("null")),
            (&[("origin", "https://a.example"), ("origin", "https://b.example")], None),
            (&[("x-origin-domain", "a.example")], None),
        ] {
            assert_eq!(page_origin(&headers(fields)), expected, "{fields:?}");
        }
    }
}

//! Origin of the web page that sends a request.

use http::HeaderMap;
use http::header::{HeaderName, ORIGIN, REFERER};

/// Returns `Origin`, else `Referer`, which no page can forge. `x-origin-domain` is ignored, since any page can send
/// it.
pub(crate) fn page_origin(headers: &HeaderMap) -> Option<&str> {
    if headers.contains_key(ORIGIN) { single_value(headers, &ORIGIN) } else { single_value(headers, &REFERER) }
}

/// Returns whether the page that sends a request is of one of these origins.
pub(crate) fn is_of(headers: &HeaderMap, origins: &[String]) -> bool {
    let Some(page) = page_origin(headers) else { return false };
    // A referrer has a path as well.
    let authority_at = page.find("://").map_or(0, |at| at + "://".len());
    let end = page[authority_at..].find(['/', '?', '#']).map_or(page.len(), |at| authority_at + at);
    origins.iter().any(|origin| origin.eq_ignore_ascii_case(&page[..end]))
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
    #[test]
    fn an_origin_is_compared_as_a_whole() {
        let origins = ["https://a.example".to_owned(), "http://b.example:8080".to_owned()];
        for (field, value, expected) in [
            ("origin", "https://a.example", true),
            ("origin", "HTTPS://A.example", true),
            ("origin", "http://a.example", false),
            ("origin", "https://a.example:8443", false),
            ("origin", "https://a.example.evil.example", false),
            ("origin", "https://evil-a.example", false),
            ("origin", "null", false),
            ("origin", "", false),
            ("origin", "http://b.example:8080", true),
            ("referer", "https://a.example/page?x", true),
            ("referer", "https://a.example?x", true),
            ("referer", "https://a.example@evil.example/", false),
            ("referer", "https://evil.example/https://a.example", false),
        ] {
            assert_eq!(is_of(&headers(&[(field, value)]), &origins), expected, "{field} {value}");
        }
        assert!(!is_of(&headers(&[]), &origins));
    }
}

//! Origins of browsers' requests, and the domains to which a key may be locked.
//!
//! A key that is locked to domains is one that a web page holds, for everybody to see. The lock keeps other pages from
//! using it in their visitors' browsers. It cannot keep programs from it: they say of their origin what they like.

/// Labels that follow `*.` at least: `*.com` would be anybody.
const MIN_WILDCARD_LABELS: usize = 2;
/// Characters of a domain name.
const MAX_DOMAIN_CHARS: usize = 253;

/// A domain as it is kept, from what a caller wrote: `example.com`, that host alone, or `*.example.com`, all hosts
/// below it. Scheme, port and path of a URL are left out: they do not count. None if it is no domain.
pub fn normalize_domain(text: &str) -> Option<String> {
    let (wildcard, host) = match text.trim().strip_prefix("*.") {
        Some(rest) => ("*.", host_from_origin(rest)?),
        None => ("", host_from_origin(text.trim())?),
    };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let labels = host.split('.').count();
    let is_too_broad = !wildcard.is_empty() && labels < MIN_WILDCARD_LABELS;
    let is_domain = host.len() <= MAX_DOMAIN_CHARS && host.split('.').all(is_label) && !is_too_broad;
    is_domain.then(|| format!("{wildcard}{}", host.to_ascii_lowercase()))
}

/// Whether one of the domains, as [`normalize_domain`] writes them, is that of an origin, a referrer or a host.
pub fn is_allowed(domains: &[String], origin: &str) -> OriginMatch {
    let Some(host) = host_from_origin(origin) else { return OriginMatch::No };
    let is_allowed = domains.iter().any(|domain| match domain.strip_prefix('*') {
        None => domain.eq_ignore_ascii_case(host),
        Some(suffix) => {
            let (suffix, host) = (suffix.as_bytes(), host.as_bytes());
            // The suffix begins with its dot, and something stands before that.
            host.len() > suffix.len() && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
        }
    });
    if is_allowed { OriginMatch::Yes } else { OriginMatch::No }
}

/// Whether an origin is among those of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginMatch {
    /// It is.
    Yes,
    /// It is not, or it is no origin.
    No,
}

/// The host of `scheme://host:port/path`, or of what is left of that. None for the origin `null` and for whatever
/// might be read in two ways.
fn host_from_origin(text: &str) -> Option<&str> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.split_once(':').map_or(authority, |(host, _)| host);
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty() && !authority.contains('@') && !host.eq_ignore_ascii_case("null")).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_stored_without_scheme_port_and_path() {
        for (text, expected) in [
            ("example.com", Some("example.com")),
            (" Example.COM. ", Some("example.com")),
            ("https://app.example.com:8443/path?x", Some("app.example.com")),
            ("*.example.com", Some("*.example.com")),
            ("localhost:3000", Some("localhost")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("*", None),
            ("*.com", None),
            ("a.*.com", None),
            ("*example.com", None),
            ("", None),
            ("a..b", None),
            ("user@example.com", None),
            ("null", None),
            ("exämple.com", None),
        ] {
            assert_eq!(normalize_domain(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_domain_is_one_host_and_a_wildcard_all_below_it() {
        let domains = ["example.com".to_owned(), "*.example.org".to_owned()];
        for (origin, expected) in [
            ("https://example.com", OriginMatch::Yes),
            ("http://EXAMPLE.com:8080", OriginMatch::Yes),
            ("https://example.com/page?from=elsewhere", OriginMatch::Yes),
            ("example.com", OriginMatch::Yes),
            ("https://app.example.com", OriginMatch::No),
            ("https://a.example.org", OriginMatch::Yes),
            ("https://a.b.example.org", OriginMatch::Yes),
            ("https://example.org", OriginMatch::No),
            ("https://evilexample.com", OriginMatch::No),
            ("https://evilexample.org", OriginMatch::No),
            ("https://example.com.evil.net", OriginMatch::No),
            ("https://evil.net/?https://example.com", OriginMatch::No),
            ("https://example.com@evil.net", OriginMatch::No),
            ("https://evil.net\\example.com", OriginMatch::No),
            ("https://.example.org", OriginMatch::No),
            ("null", OriginMatch::No),
            ("", OriginMatch::No),
        ] {
            assert_eq!(is_allowed(&domains, origin), expected, "{origin}");
        }
    }
}

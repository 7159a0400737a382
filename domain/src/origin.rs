//! Origins of browsers' requests, and the domains to which a key may be locked.
//!
//! A key that is locked to domains is one that a web page holds, for everybody to see. The lock keeps other pages from
//! using it in their visitors' browsers. It cannot keep programs from it: they say of their origin what they like.

/// Labels that follow `*.` at least: `*.com` would be anybody.
const MIN_LABELS_OF_WILDCARD: usize = 2;
/// Characters of a domain name.
const MAX_DOMAIN_CHARS: usize = 253;

/// A domain as it is kept, from what a caller wrote: `example.com`, that host alone, or `*.example.com`, all hosts
/// below it. Scheme, port and path of a URL are left out: they do not count. None if it is no domain.
pub fn domain(text: &str) -> Option<String> {
    let (wildcard, host) = match text.trim().strip_prefix("*.") {
        Some(rest) => ("*.", host_of(rest)?),
        None => ("", host_of(text.trim())?),
    };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let labels = host.split('.').count();
    let is_wide = !wildcard.is_empty() && labels < MIN_LABELS_OF_WILDCARD;
    let is_domain = host.len() <= MAX_DOMAIN_CHARS && host.split('.').all(is_label) && !is_wide;
    is_domain.then(|| format!("{wildcard}{}", host.to_ascii_lowercase()))
}

/// Whether one of the domains, as [`domain`] writes them, is that of an origin, a referrer or a host.
pub fn allows(domains: &[String], origin: &str) -> Allows {
    let Some(host) = host_of(origin) else { return Allows::No };
    let is_allowed = domains.iter().any(|domain| match domain.strip_prefix('*') {
        None => domain.eq_ignore_ascii_case(host),
        Some(suffix) => {
            let (suffix, host) = (suffix.as_bytes(), host.as_bytes());
            // The suffix begins with its dot, and something stands before that.
            host.len() > suffix.len() && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
        }
    });
    if is_allowed { Allows::Yes } else { Allows::No }
}

/// Whether an origin is among those of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allows {
    /// It is.
    Yes,
    /// It is not, or it is no origin.
    No,
}

/// The host of `scheme://host:port/path`, or of what is left of that. None for the origin `null` and for whatever
/// might be read in two ways.
fn host_of(text: &str) -> Option<&str> {
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
    fn a_domain_is_kept_without_what_does_not_count() {
        for (text, kept) in [
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
            assert_eq!(domain(text).as_deref(), kept, "{text:?}");
        }
    }

    #[test]
    fn a_domain_is_one_host_and_a_wildcard_all_below_it() {
        let domains = ["example.com".to_owned(), "*.example.org".to_owned()];
        for (origin, expected) in [
            ("https://example.com", Allows::Yes),
            ("http://EXAMPLE.com:8080", Allows::Yes),
            ("https://example.com/page?from=elsewhere", Allows::Yes),
            ("example.com", Allows::Yes),
            ("https://app.example.com", Allows::No),
            ("https://a.example.org", Allows::Yes),
            ("https://a.b.example.org", Allows::Yes),
            ("https://example.org", Allows::No),
            ("https://evilexample.com", Allows::No),
            ("https://evilexample.org", Allows::No),
            ("https://example.com.evil.net", Allows::No),
            ("https://evil.net/?https://example.com", Allows::No),
            ("https://example.com@evil.net", Allows::No),
            ("https://evil.net\\example.com", Allows::No),
            ("https://.example.org", Allows::No),
            ("null", Allows::No),
            ("", Allows::No),
        ] {
            assert_eq!(allows(&domains, origin), expected, "{origin}");
        }
    }
}

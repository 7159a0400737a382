//! Origins of browser requests, and the domains that a key can be restricted to.
//!
//! A key that is restricted to domains is one that a web page embeds, visible to everybody. The restriction
//! keeps other pages from using it in their visitors' browsers. It does not stop other programs, which can send
//! any `Origin`.

/// Minimum number of labels after `*.`: `*.com` would match almost everybody.
const MIN_WILDCARD_LABELS: usize = 2;
/// Maximum length of a domain name (RFC 1035).
const MAX_DOMAIN_CHARS: usize = 253;

/// Normalizes a domain from user input: `example.com` for that host only, `*.example.com` for all hosts below
/// it. Scheme, port and path of a URL are ignored. Returns `None` if the text is not a domain.
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

/// Returns whether the host of an origin, a referrer or a plain host matches one of `domains`, which are
/// normalized by [`normalize_domain`].
pub fn is_allowed(domains: &[String], origin: &str) -> bool {
    let Some(host) = host_from_origin(origin) else { return false };
    domains.iter().any(|domain| match domain.strip_prefix('*') {
        None => domain.eq_ignore_ascii_case(host),
        Some(suffix) => {
            let (suffix, host) = (suffix.as_bytes(), host.as_bytes());
            // The suffix starts with its dot, so at least one character must precede it.
            host.len() > suffix.len() && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
        }
    })
}

/// Returns the host of `scheme://host:port/path`, where every part but the host is optional. Returns `None` for
/// the origin `null` and for any text that parsers could read differently.
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
    fn a_domain_matches_one_host_and_a_wildcard_all_hosts_below_it() {
        let domains = ["example.com".to_owned(), "*.example.org".to_owned()];
        for (origin, expected) in [
            ("https://example.com", true),
            ("http://EXAMPLE.com:8080", true),
            ("https://example.com/page?from=elsewhere", true),
            ("example.com", true),
            ("https://app.example.com", false),
            ("https://a.example.org", true),
            ("https://a.b.example.org", true),
            ("https://example.org", false),
            ("https://evilexample.com", false),
            ("https://evilexample.org", false),
            ("https://example.com.evil.net", false),
            ("https://evil.net/?https://example.com", false),
            ("https://example.com@evil.net", false),
            ("https://evil.net\\example.com", false),
            ("https://.example.org", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(&domains, origin), expected, "{origin}");
        }
    }
}

//! The authority of a request in one strict form (RFC 3986 section 3.2 without user information).

use std::borrow::Cow;
use std::net::Ipv6Addr;

use memchr::memchr;

/// Returns the host of `host[:port]` without the port and without the trailing dot of a fully qualified name,
/// or `None` if the text is not a plain authority.
pub fn parse_host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            (&authority[..end + 2], &authority[end + 2..])
        }
        None => authority.split_at(memchr(b':', authority.as_bytes()).unwrap_or(authority.len())),
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port_number);
    let host = host.strip_suffix('.').unwrap_or(host);
    (is_port && is_host(host)).then_some(host)
}

/// Returns whether two hosts are equal, ignoring case and different spellings of an IPv6 address.
pub fn is_same_host(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || ipv6(one).is_some_and(|address| ipv6(other) == Some(address))
}

/// Returns the spelling that all spellings of an IPv6 address have in common; other hosts as they are.
pub fn normalize(host: &str) -> Cow<'_, str> {
    match ipv6(host) {
        Some(address) => Cow::Owned(format!("[{address}]")),
        None => Cow::Borrowed(host),
    }
}

fn ipv6(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn is_port_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_host(host: &str) -> bool {
    if host.starts_with('[') {
        return ipv6(host).is_some();
    }
    !host.is_empty()
        && !host.ends_with('.')
        && host.len() <= 253
        && host.bytes().all(|byte| IS_HOST_BYTE[usize::from(byte)])
}

/// Whether a byte may be in a host name.
static IS_HOST_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'.' | b'-' | b'_');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_authorities_are_parsed() {
        assert_eq!(parse_host("example.com"), Some("example.com"));
        assert_eq!(parse_host("example.com:8080"), Some("example.com"));
        assert_eq!(parse_host("example.com.:8080"), Some("example.com"));
        assert_eq!(parse_host("[::1]:8080"), Some("[::1]"));
        for text in ["", ".", "a..", ":80", "a, b", "a/path", "user@a", "a:", "a:x", "[::1", "[zz]", "a b", "a:123456"]
        {
            assert_eq!(parse_host(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_is_the_same_in_any_case_and_spelling() {
        assert!(is_same_host("example.com", "Example.COM"));
        assert!(is_same_host("[::1]", "[0:0:0:0:0:0:0:1]"));
        assert!(!is_same_host("[::1]", "[::2]"));
        assert!(!is_same_host("example.com", "example.org"));
    }
}

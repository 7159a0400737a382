//! The authority of a request: one strict form (RFC 3986 section 3.2 without user information).

/// The host of `host[:port]` without its port; none if the text is no plain authority.
pub(crate) fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            (&authority[..end + 2], &authority[end + 2..])
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_number);
    (is_port && is_host(host)).then_some(host)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !host.is_empty() && host.len() <= 253 && host.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_authorities_have_a_host() {
        assert_eq!(host_of("example.com"), Some("example.com"));
        assert_eq!(host_of("example.com:8080"), Some("example.com"));
        assert_eq!(host_of("[::1]:8080"), Some("[::1]"));
        for text in ["", ":80", "a, b", "a/path", "user@a", "a:", "a:x", "[::1", "[zz]", "a b", "a:123456"] {
            assert_eq!(host_of(text), None, "{text}");
        }
    }
}

//! Address of a client behind trusted proxies.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// Addresses of the client and the proxies in between, the nearest last.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Whether a peer may say where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerTrust {
    Trusted,
    Untrusted,
}

/// Returns whether an address is a trusted proxy's.
pub fn is_trusted(address: &IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// Returns the nearest address that is not a trusted proxy's. Only what trusted proxies forward is used. If one of
/// them forwards something that is not an address, the client is unknown.
pub fn resolve(headers: &HeaderMap, peer: Option<IpAddr>, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| is_trusted(address, trusted);
    let mut nearest = peer?.to_canonical();
    if !is_trusted(&nearest) {
        return Some(nearest);
    }
    for field in headers.get_all(FORWARDED_FOR).iter().rev() {
        // By bytes: whatever a client sends stands before what its proxy appends, and must not spoil it.
        for part in field.as_bytes().rsplit(|byte| *byte == b',') {
            nearest = parse_ip(part.trim_ascii())?.to_canonical();
            if !is_trusted(&nearest) {
                return Some(nearest);
            }
        }
    }
    Some(nearest)
}

/// Parses an address, with or without a port. An IPv6 address may be in brackets. One with a zone means something on
/// another machine only.
fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok().filter(|text| !text.contains('%'))?;
    let with_port = || text.parse().ok().map(|socket: std::net::SocketAddr| socket.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    text.parse().ok().or_else(with_port).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_headers::headers;

    use http::{HeaderName, HeaderValue};

    #[test]
    fn the_client_is_the_nearest_address_that_is_not_trusted() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        for (peer, fields, expected) in [
            ("192.0.2.1", &["1.1.1.1"][..], Some("192.0.2.1")),
            ("10.0.0.1", &[], Some("10.0.0.1")),
            ("10.0.0.1", &["192.0.2.7"], Some("192.0.2.7")),
            ("10.0.0.1", &["1.1.1.1, 192.0.2.7"], Some("192.0.2.7")),
            ("10.0.0.1", &["1.1.1.1, 192.0.2.7, 10.2.3.4"], Some("192.0.2.7")),
            ("10.0.0.1", &["1.1.1.1", "192.0.2.7", "10.2.3.4"], Some("192.0.2.7")),
            ("::1", &["[2001:db8::1]:443"], Some("2001:db8::1")),
            ("::1", &["[2001:db8::1]"], Some("2001:db8::1")),
            ("::1", &["[192.0.2.7]"], None),
            ("::ffff:10.0.0.1", &["192.0.2.7:1234"], Some("192.0.2.7")),
            ("10.0.0.1", &["192.0.2.7, unknown"], None),
            ("10.0.0.1", &["10.0.0.2, 10.0.0.3"], Some("10.0.0.2")),
        ] {
            let fields: Vec<(&str, &str)> = fields.iter().map(|value| (FORWARDED_FOR, *value)).collect();
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(resolve(&headers(&fields), peer.parse().ok(), &trusted), expected, "{peer} {fields:?}");
        }
    }

    #[test]
    fn nothing_that_a_client_sends_hides_the_address_that_its_proxy_appends() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let client = "192.0.2.7".parse().ok();
        // A field may have every byte but control characters.
        let bytes = (0..=u8::MAX).filter(|byte| HeaderValue::from_bytes(&[*byte]).is_ok());
        let sent =
            bytes.map(|byte| vec![byte]).chain([b"unknown".to_vec(), b"1.1.1.1, \xff".to_vec(), b"10.0.0.1".to_vec()]);
        for sent in sent {
            for separator in [&b","[..], b", "] {
                let field = HeaderValue::from_bytes(&[&sent, separator, b"192.0.2.7"].concat()).unwrap();
                let headers = HeaderMap::from_iter([(HeaderName::from_static(FORWARDED_FOR), field)]);
                assert_eq!(resolve(&headers, "10.0.0.1".parse().ok(), &trusted), client, "{sent:?}");
            }
        }
    }
}

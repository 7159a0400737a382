//! Where a request comes from: the client's address behind trusted proxies, and the page of a browser.

use std::net::IpAddr;

use gatepost_domain::permit::RequestFacts;
use http::header::{HeaderName, ORIGIN, REFERER};
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

/// The proxies through which a request came, the nearest last.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Whether the peer's word on a request's origin counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerTrust {
    Trusted,
    Untrusted,
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct PeerIp {
    pub(crate) ip: IpAddr,
    /// Its text, made once for all who tell it.
    text: HeaderValue,
}

impl PeerIp {
    pub(crate) fn new(ip: IpAddr) -> Self {
        let text = HeaderValue::try_from(ip.to_string()).expect("an address is a header's value");
        Self { ip, text }
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.text.clone()
    }

    pub(crate) fn as_str(&self) -> &str {
        self.text.to_str().unwrap_or_default()
    }
}

/// What the rule is told of a request.
pub(crate) fn request_facts(headers: &HeaderMap, client: Option<IpAddr>) -> RequestFacts<'_> {
    RequestFacts { client, origin: origin(headers) }
}

/// Whether an address is a trusted proxy's.
pub(crate) fn is_trusted(address: &IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// The nearest address that is no trusted proxy's. What a proxy that is not trusted says of others does not count, and
/// where a trusted one tells something that is no address, none is known.
pub(crate) fn resolve(headers: &HeaderMap, peer: Option<IpAddr>, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| is_trusted(address, trusted);
    let mut nearest = peer?.to_canonical();
    if !is_trusted(&nearest) {
        return Some(nearest);
    }
    for field in headers.get_all(FORWARDED_FOR).iter().rev() {
        for part in field.to_str().ok()?.rsplit(',') {
            nearest = parse_ip(part.trim())?.to_canonical();
            if !is_trusted(&nearest) {
                return Some(nearest);
            }
        }
    }
    Some(nearest)
}

/// An address, also with a port; one of version 6 also in brackets.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse().ok().map(|socket: std::net::SocketAddr| socket.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    text.parse().ok().or_else(with_port).or_else(in_brackets)
}

/// `Origin`, else `Referer`: a page cannot make up either. `x-origin-domain`, which any page can send, does not count.
fn origin(headers: &HeaderMap) -> Option<&str> {
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

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

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
    fn origin_takes_precedence_over_referer_and_must_be_single() {
        for (fields, expected) in [
            (&[][..], None),
            (&[("origin", "https://a.example"), ("referer", "https://b.example/")], Some("https://a.example")),
            (&[("referer", "https://b.example/x")], Some("https://b.example/x")),
            (&[("origin", "null"), ("referer", "https://b.example/")], Some("null")),
            (&[("origin", "https://a.example"), ("origin", "https://b.example")], None),
            (&[("x-origin-domain", "a.example")], None),
        ] {
            assert_eq!(origin(&headers(fields)), expected, "{fields:?}");
        }
    }
}

//! The address at the other end of a client's connection.

use std::net::IpAddr;

use http::HeaderValue;
use pingora::proxy::Session;

/// An address with its text, made once for the headers and log lines that carry it.
#[derive(Debug, Clone)]
pub(crate) struct PeerIp {
    pub(crate) ip: IpAddr,
    text: HeaderValue,
}

impl PeerIp {
    pub(crate) fn new(ip: IpAddr) -> Self {
        let text = HeaderValue::try_from(ip.to_string()).expect("an address is a valid header value");
        Self { ip, text }
    }

    /// Returns the peer of a session; an IPv4-mapped address as IPv4.
    pub(crate) fn of(session: &Session) -> Option<Self> {
        session.client_addr()?.as_inet().map(|address| Self::new(address.ip().to_canonical()))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.text.clone()
    }

    pub(crate) fn as_str(&self) -> &str {
        self.text.to_str().unwrap_or_default()
    }
}

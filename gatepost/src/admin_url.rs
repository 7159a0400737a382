//! The address of an admin API.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use url::{Host, Url};

/// Address of an admin API: http or https, with or without a path.
#[derive(Debug, Clone)]
pub(crate) struct AdminUrl(Url);

/// Returns the address at which a server that listens at an address is reached from this machine, also if it listens on
/// all interfaces.
pub(crate) fn reachable_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The text is not the address of an admin API.
#[derive(Debug, thiserror::Error)]
#[error("must be an http or https URL without user name, query and fragment, such as http://127.0.0.1:8081")]
pub(crate) struct ParseAdminUrlError;

impl FromStr for AdminUrl {
    type Err = ParseAdminUrlError;

    fn from_str(text: &str) -> Result<Self, ParseAdminUrlError> {
        let url = Url::parse(text).map_err(|_| ParseAdminUrlError)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let has_more = has_user || url.query().is_some() || url.fragment().is_some();
        if has_more || !matches!(url.scheme(), "http" | "https") { Err(ParseAdminUrlError) } else { Ok(Self(url)) }
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl AdminUrl {
    /// Returns the address of an admin API that listens at an address, as this machine reaches it.
    pub(crate) fn of_listener(listen: SocketAddr) -> Self {
        let url = format!("http://{}", reachable_address(listen));
        Self(Url::parse(&url).expect("an address is a host and a port"))
    }

    /// Returns whether the admin API is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
            None => false,
        }
    }

    /// Returns the URL of a resource. The parts of its path are encoded.
    pub(crate) fn resource(&self, path: &[String]) -> Url {
        let mut url = self.0.clone();
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(path);
        url
    }

    /// Returns the URL of an endpoint.
    pub(crate) fn endpoint(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_below_the_path_of_the_address() {
        for (url, endpoint) in [
            ("http://127.0.0.1:8081", "http://127.0.0.1:8081/events/stream"),
            ("https://ops.example.com/gatepost/", "https://ops.example.com/gatepost/events/stream"),
        ] {
            assert_eq!(url.parse::<AdminUrl>().unwrap().endpoint("/events/stream").as_str(), endpoint);
        }
        let url: AdminUrl = "https://ops.example.com/gatepost/".parse().unwrap();
        let path = ["api-keys", "../a?b"].map(str::to_owned);
        assert_eq!(url.resource(&path).as_str(), "https://ops.example.com/gatepost/api-keys/..%2Fa%3Fb");
        for text in ["127.0.0.1:8081", "ftp://a", "http://u:p@a", "http://a/?b", "http://a/#b", ""] {
            assert!(text.parse::<AdminUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_admin_api_is_reached_where_it_listens() {
        for (listen, url) in [
            ("127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("0.0.0.0:9000", "http://127.0.0.1:9000"),
            ("[::]:9000", "http://[::1]:9000"),
            ("10.0.0.7:9000", "http://10.0.0.7:9000"),
        ] {
            assert_eq!(AdminUrl::of_listener(listen.parse().unwrap()).to_string(), url);
        }
    }

    #[test]
    fn only_loopback_addresses_are_on_this_machine() {
        for (url, is_loopback) in [
            ("http://127.0.0.1:8081", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:8081", true),
            ("http://localhost", true),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(url.parse::<AdminUrl>().unwrap().is_loopback(), is_loopback, "{url}");
        }
    }
}

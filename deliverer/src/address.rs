//! The address guard: no path to a socket in a private network, neither by a literal host nor by a name.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::address::{Reach, host_literal, host_reach, reach};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use crate::options::PrivateNetworks;

/// How long resolving a name may take.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);

/// Why an address is refused, for the one who set it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedAddress {
    /// No such scheme here.
    #[error("url: the scheme must be https (http only with webhooks.allow_private_networks)")]
    Scheme,
    /// It would be logged and shown.
    #[error("url: it must not hold a user name or a password")]
    Credentials,
    /// There is nowhere to send to.
    #[error("url: it lacks a host")]
    NoHost,
    /// The host is, or leads to, an address that is not public.
    #[error("url: {0} is in a private network (webhooks.allow_private_networks allows that for development)")]
    Private(String),
}

/// Judges addresses.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    private_networks: PrivateNetworks,
}

impl Guard {
    /// A guard with these permissions.
    pub fn new(private_networks: PrivateNetworks) -> Self {
        Self { private_networks }
    }

    /// Judges a URL by its text. A name is judged when it is resolved.
    pub fn judge(self, url: &Url) -> Result<(), RefusedAddress> {
        match (url.scheme(), self.private_networks) {
            ("https", _) | ("http", PrivateNetworks::Allowed) => {}
            _ => return Err(RefusedAddress::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RefusedAddress::Credentials);
        }
        let host = url.host_str().ok_or(RefusedAddress::NoHost)?;
        match (self.private_networks, host_reach(host)) {
            (PrivateNetworks::Refused, Some(Reach::Private)) => Err(RefusedAddress::Private(host.to_owned())),
            (PrivateNetworks::Refused | PrivateNetworks::Allowed, _) => Ok(()),
        }
    }

    /// Judges a URL and what its name resolves to now. A name that does not resolve passes: it may
    /// do so later, and is judged again whenever something is sent.
    pub async fn judge_resolved(self, url: &Url) -> Result<(), RefusedAddress> {
        self.judge(url)?;
        let Some(host) = url.host_str().filter(|host| host_literal(host).is_none()) else { return Ok(()) };
        let addresses = resolve(host.to_owned()).await.unwrap_or_default();
        match addresses.iter().find(|address| !self.admits(address.ip())) {
            Some(_) => Err(RefusedAddress::Private(host.to_owned())),
            None => Ok(()),
        }
    }

    fn admits(self, ip: IpAddr) -> bool {
        self.private_networks == PrivateNetworks::Allowed || reach(ip) == Reach::Public
    }
}

/// Resolves names for the client that sends, and leaves out what the guard does not admit. What it
/// answers is what is connected to, so an answer of DNS cannot change in between.
#[derive(Debug)]
pub(crate) struct GuardedResolver(pub(crate) Guard);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let addresses = resolve(host.clone()).await?;
            let admitted: Vec<SocketAddr> =
                addresses.into_iter().filter(|address| guard.admits(address.ip())).collect();
            if admitted.is_empty() {
                return Err(Arc::new(RefusedAddress::Private(host)).into());
            }
            let admitted: Addrs = Box::new(admitted.into_iter());
            Ok(admitted)
        })
    }
}

async fn resolve(host: String) -> std::io::Result<Vec<SocketAddr>> {
    let looking_up = tokio::net::lookup_host((host, 0));
    Ok(tokio::time::timeout(RESOLVE_DEADLINE, looking_up).await??.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(url: &str, private_networks: PrivateNetworks) -> Result<(), RefusedAddress> {
        Guard::new(private_networks).judge(&Url::parse(url).unwrap())
    }

    #[test]
    fn only_public_https_passes() {
        assert_eq!(judged("https://example.com/hook", PrivateNetworks::Refused), Ok(()));
        assert_eq!(judged("https://93.184.215.14/", PrivateNetworks::Refused), Ok(()));
        assert_eq!(judged("http://example.com/", PrivateNetworks::Refused), Err(RefusedAddress::Scheme));
        assert_eq!(judged("ftp://example.com/", PrivateNetworks::Allowed), Err(RefusedAddress::Scheme));
        assert_eq!(judged("https://u:p@example.com/", PrivateNetworks::Allowed), Err(RefusedAddress::Credentials));
        for host in [
            "127.0.0.1",
            "0x7f.1",
            "2130706433",
            "localhost",
            "a.localhost",
            "10.0.0.1",
            "169.254.169.254",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[fd00::1]",
            "0.0.0.0",
            "100.64.0.1",
            "192.168.1.1",
            "[fe80::1]",
            "[64:ff9b::7f00:1]",
        ] {
            let url = format!("https://{host}/");
            assert!(matches!(judged(&url, PrivateNetworks::Refused), Err(RefusedAddress::Private(_))), "{url}");
            assert_eq!(judged(&url, PrivateNetworks::Allowed), Ok(()), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_into_a_private_network_is_refused() {
        let resolver = GuardedResolver(Guard::new(PrivateNetworks::Refused));
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_err());
        let resolver = GuardedResolver(Guard::new(PrivateNetworks::Allowed));
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}

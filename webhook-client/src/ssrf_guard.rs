//! The SSRF guard: no connection to a private network, whether by an address or by a name that resolves to one.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gatepost_domain::address::{AddressClass, classify_host, classify_ip, host_literal};
use gatepost_domain::shown_key::Transport;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

/// Maximum duration of a DNS lookup.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);

/// Why the URL of a webhook is rejected. The messages are for the user who set it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookUrlError {
    /// The scheme is not allowed.
    #[error("url: the scheme must be https (http only with webhooks.allow_private_networks)")]
    Scheme,
    /// The URL contains credentials, which would be logged and shown.
    #[error("url: must not contain a user name or a password")]
    Credentials,
    /// The URL has no host.
    #[error("url: the host is missing")]
    NoHost,
    /// The host is, or resolves to, an address that is not public.
    #[error("url: {0} is in a private network (webhooks.allow_private_networks allows that for development)")]
    Private(String),
}

/// Whether webhooks may be sent to private addresses and over plain http.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateNetworks {
    /// https to public addresses only.
    Refused,
    /// Any address, also over http; for local development.
    Allowed,
}

impl PrivateNetworks {
    /// Returns whether a value can be read on its way to a URL. Where private networks are allowed, http is as good as
    /// https.
    pub fn transport(self, url: &Url) -> Transport {
        let is_secure = url.scheme() == "https" || self == PrivateNetworks::Allowed;
        if is_secure { Transport::Secure } else { Transport::Plaintext }
    }
}

/// Checks URLs and addresses before a connection is made.
#[derive(Debug, Clone, Copy)]
pub struct SsrfGuard {
    private_networks: PrivateNetworks,
}

impl SsrfGuard {
    /// Creates a guard that rejects or allows private networks.
    pub fn new(private_networks: PrivateNetworks) -> Self {
        Self { private_networks }
    }

    /// Returns whether private networks are allowed.
    pub fn private_networks(self) -> PrivateNetworks {
        self.private_networks
    }

    /// Checks the text of a URL. A name is checked when it is resolved.
    ///
    /// # Errors
    /// Returns the reason why the URL is rejected.
    pub fn check(self, url: &Url) -> Result<(), WebhookUrlError> {
        match (url.scheme(), self.private_networks) {
            ("https", _) | ("http", PrivateNetworks::Allowed) => {}
            _ => return Err(WebhookUrlError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(WebhookUrlError::Credentials);
        }
        let host = url.host_str().ok_or(WebhookUrlError::NoHost)?;
        match (self.private_networks, classify_host(host)) {
            (PrivateNetworks::Refused, Some(AddressClass::Private)) => Err(WebhookUrlError::Private(host.to_owned())),
            (PrivateNetworks::Refused | PrivateNetworks::Allowed, _) => Ok(()),
        }
    }

    /// Checks a URL and the addresses that its name resolves to now. A name that does not resolve is accepted:
    /// it may resolve later, and is checked again with every attempt. Takes at most 5 s.
    ///
    /// # Errors
    /// Returns the reason why the URL is rejected.
    pub async fn check_resolved(self, url: &Url) -> Result<(), WebhookUrlError> {
        self.check(url)?;
        let Some(host) = url.host_str().filter(|host| host_literal(host).is_none()) else { return Ok(()) };
        let addresses = resolve(host.to_owned()).await.unwrap_or_default();
        match addresses.iter().find(|address| !self.allows(address.ip())) {
            Some(_) => Err(WebhookUrlError::Private(host.to_owned())),
            None => Ok(()),
        }
    }

    fn allows(self, ip: IpAddr) -> bool {
        self.private_networks == PrivateNetworks::Allowed || classify_ip(ip) == AddressClass::Public
    }
}

/// DNS resolver of the HTTP client that omits addresses the guard rejects. The client connects to the addresses
/// that it returns, so DNS cannot change between check and connection.
#[derive(Debug)]
pub(crate) struct GuardedResolver(pub(crate) SsrfGuard);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let addresses = resolve(host.clone()).await?;
            let allowed: Vec<SocketAddr> = addresses.into_iter().filter(|address| guard.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(WebhookUrlError::Private(host).into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

/// Why a name was not resolved. A type of its own, to distinguish it from other failures to connect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("the name was not resolved within {} s", RESOLVE_DEADLINE.as_secs())]
    Timeout,
    #[error("the name cannot be resolved")]
    Lookup(#[from] std::io::Error),
}

async fn resolve(host: String) -> Result<Vec<SocketAddr>, ResolveError> {
    let lookup = tokio::net::lookup_host((host, 0));
    let addresses = tokio::time::timeout(RESOLVE_DEADLINE, lookup).await.map_err(|_| ResolveError::Timeout)??;
    Ok(addresses.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, private_networks: PrivateNetworks) -> Result<(), WebhookUrlError> {
        SsrfGuard::new(private_networks).check(&Url::parse(url).unwrap())
    }

    #[test]
    fn only_public_https_passes() {
        assert_eq!(check("https://example.com/hook", PrivateNetworks::Refused), Ok(()));
        assert_eq!(check("https://93.184.215.14/", PrivateNetworks::Refused), Ok(()));
        assert_eq!(check("http://example.com/", PrivateNetworks::Refused), Err(WebhookUrlError::Scheme));
        assert_eq!(check("ftp://example.com/", PrivateNetworks::Allowed), Err(WebhookUrlError::Scheme));
        assert_eq!(check("https://u:p@example.com/", PrivateNetworks::Allowed), Err(WebhookUrlError::Credentials));
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
            assert!(matches!(check(&url, PrivateNetworks::Refused), Err(WebhookUrlError::Private(_))), "{url}");
            assert_eq!(check(&url, PrivateNetworks::Allowed), Ok(()), "{url}");
        }
    }

    #[tokio::test]
    async fn host_name_resolving_to_a_private_network_is_refused() {
        let resolver = GuardedResolver(SsrfGuard::new(PrivateNetworks::Refused));
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_err());
        let resolver = GuardedResolver(SsrfGuard::new(PrivateNetworks::Allowed));
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}

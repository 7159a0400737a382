//! The certificates of a listener, by the name that a client asks for (SNI, RFC 6066 section 3).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// Certificates by their names, with one for all other names.
#[derive(Debug)]
pub(super) struct CertificateSet {
    /// By name; of a wildcard, by the text behind `*.`.
    exact: HashMap<String, Arc<CertifiedKey>>,
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    /// None if there are no certificates.
    default: Option<Arc<CertifiedKey>>,
    /// Clients that connect to an address ask for no name.
    addresses: HashSet<IpAddr>,
}

impl CertificateSet {
    /// Indexes certificates. If two have the same name, the earlier one is used.
    pub(super) fn new(certificates: &[Certificate]) -> Self {
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for certificate in certificates {
            for name in &certificate.names {
                let (map, key) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut wildcard, parent),
                    None => (&mut exact, name.as_str()),
                };
                map.entry(key.to_owned()).or_insert_with(|| Arc::clone(&certificate.key));
            }
        }
        let addresses = certificates.iter().flat_map(|certificate| &certificate.addresses).copied().collect();
        let default = certificates.first().map(|certificate| Arc::clone(&certificate.key));
        Self { exact, wildcard, default, addresses }
    }

    /// Returns whether a certificate has the host of a URL.
    pub(super) fn has_host(&self, host: &str) -> bool {
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match address.parse::<IpAddr>() {
            Ok(address) => self.addresses.contains(&address),
            Err(_) => self.find(host).is_some(),
        }
    }

    /// Returns the certificate of a name. A wildcard matches one label (RFC 6125 section 6.4.3).
    pub(super) fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let lower;
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            &lower
        } else {
            name
        };
        self.exact.get(name).or_else(|| self.wildcard.get(name.split_once('.')?.1))
    }
}

impl ResolvesServerCert for CertificateSet {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.find(name));
        named.or(self.default.as_ref()).map(Arc::clone)
    }
}

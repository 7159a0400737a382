//! Validation of the `Host` field of a request.
//!
//! A web page can make its own name resolve to this machine (DNS rebinding) and so reach services that listen
//! on loopback only. Its requests carry that name, so names that are not listed are rejected there.

use std::net::SocketAddr;
use std::sync::Arc;

use gatepost_domain::host::{is_same_host, parse_host};
use http::Version;
use http::header::HOST;
use http::request::Parts;

/// Name of the loopback interface (RFC 6761 section 6.3).
const LOCALHOST: &str = "localhost";

/// Hosts that requests may name.
#[derive(Debug, Clone)]
pub struct HostRule {
    allowed_hosts: Arc<[String]>,
    unlisted_names: UnlistedNames,
}

/// What happens to a name that is not listed. IP addresses and `localhost` are always allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnlistedNames {
    /// It is allowed.
    Allow,
    /// It is rejected.
    Reject,
}

/// Why the `Host` of a request is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The field is missing although it is required (RFC 9112 section 3.2).
    #[error("the Host field is missing")]
    Missing,
    /// There is more than one.
    #[error("there is more than one Host field")]
    Multiple,
    /// It is not a host with an optional port.
    #[error("the Host field is malformed")]
    Malformed,
    /// It is a name that is not listed.
    #[error("this listener does not know the name in the Host field")]
    Unlisted,
}

impl HostRule {
    /// Creates the rule of a listener. Names are checked if some are listed, or if the listener is reachable
    /// from this machine only and no proxy is in front of it.
    pub fn new(allowed_hosts: Vec<String>, listen: SocketAddr, is_behind_proxy: bool) -> Self {
        let is_loopback_only = listen.ip().is_loopback() && !is_behind_proxy;
        let unlisted_names =
            if is_loopback_only || !allowed_hosts.is_empty() { UnlistedNames::Reject } else { UnlistedNames::Allow };
        Self { allowed_hosts: allowed_hosts.into(), unlisted_names }
    }

    /// Checks the form of a request's `Host` and returns the host. Returns `None` if it is missing and not
    /// required (HTTP/1.0).
    ///
    /// # Errors
    /// Fails if the field is missing although it is required, repeated or malformed.
    pub fn parse_host(parts: &Parts) -> Result<Option<&str>, HostError> {
        let mut fields = parts.headers.get_all(HOST).iter();
        let Some(field) = fields.next() else {
            return if parts.version < Version::HTTP_11 { Ok(None) } else { Err(HostError::Missing) };
        };
        if fields.next().is_some() {
            return Err(HostError::Multiple);
        }
        let host = field.to_str().ok().and_then(parse_host);
        host.map(Some).ok_or(HostError::Malformed)
    }

    /// Checks a request's `Host`, including its name.
    ///
    /// # Errors
    /// Returns the reason why the `Host` is rejected.
    pub fn check(&self, parts: &Parts) -> Result<(), HostError> {
        match Self::parse_host(parts)? {
            Some(host) if self.unlisted_names == UnlistedNames::Reject && !self.is_allowed(host) => {
                Err(HostError::Unlisted)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn is_allowed(&self, host: &str) -> bool {
        let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
        is_address || is_localhost(host) || self.allowed_hosts.iter().any(|listed| is_same_host(listed, host))
    }
}

fn is_localhost(host: &str) -> bool {
    let Some(at) = host.len().checked_sub(LOCALHOST.len()) else { return false };
    let Some((before, last)) = host.split_at_checked(at) else { return false };
    last.eq_ignore_ascii_case(LOCALHOST) && (before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:8081";

    fn parts(version: Version, hosts: &[&str]) -> Parts {
        let mut request = http::Request::builder().version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn check(rule: &HostRule, host: &str) -> Result<(), HostError> {
        rule.check(&parts(Version::HTTP_11, &[host]))
    }

    fn rule(listed: &[&str], listen: &str, is_behind_proxy: bool) -> HostRule {
        HostRule::new(listed.iter().map(|&name| name.to_owned()).collect(), listen.parse().unwrap(), is_behind_proxy)
    }

    #[test]
    fn exactly_one_well_formed_host_is_required() {
        let rule = rule(&[], "0.0.0.0:8081", true);
        for (version, hosts, expected) in [
            (Version::HTTP_11, &["a.example"][..], Ok(())),
            (Version::HTTP_11, &[], Err(HostError::Missing)),
            (Version::HTTP_10, &[], Ok(())),
            (Version::HTTP_11, &["a.example", "a.example"], Err(HostError::Multiple)),
            (Version::HTTP_10, &["a.example", "b.example"], Err(HostError::Multiple)),
            (Version::HTTP_11, &[""], Err(HostError::Malformed)),
            (Version::HTTP_11, &["a b"], Err(HostError::Malformed)),
            (Version::HTTP_11, &["a.example/x"], Err(HostError::Malformed)),
            (Version::HTTP_11, &["user@a.example"], Err(HostError::Malformed)),
            (Version::HTTP_11, &["a.example:port"], Err(HostError::Malformed)),
        ] {
            assert_eq!(rule.check(&parts(version, hosts)), expected, "{version:?} {hosts:?}");
        }
    }

    #[test]
    fn on_loopback_only_addresses_localhost_and_listed_names_are_allowed() {
        let rule = rule(&["keys.example"], LOOPBACK, false);
        for host in ["127.0.0.1:8081", "192.0.2.7", "[::1]:8081", "localhost", "LocalHost.:80", "a.localhost"] {
            assert_eq!(check(&rule, host), Ok(()), "{host}");
        }
        assert_eq!(check(&rule, "Keys.Example:443"), Ok(()));
        for host in ["evil.example", "localhost.evil.example", "notlocalhost", "keys.example.evil", "1.2.3"] {
            assert_eq!(check(&rule, host), Err(HostError::Unlisted), "{host}");
        }
    }

    #[test]
    fn names_are_checked_on_loopback_and_where_some_are_listed() {
        for (listed, listen, is_behind_proxy, expected) in [
            (&[][..], LOOPBACK, false, Err(HostError::Unlisted)),
            (&[], LOOPBACK, true, Ok(())),
            (&[], "[::1]:8081", false, Err(HostError::Unlisted)),
            (&[], "0.0.0.0:8081", true, Ok(())),
            (&["keys.example"], "0.0.0.0:8081", true, Err(HostError::Unlisted)),
            (&["keys.example"], LOOPBACK, true, Err(HostError::Unlisted)),
        ] {
            assert_eq!(check(&rule(listed, listen, is_behind_proxy), "a.example"), expected, "{listed:?} {listen}");
        }
    }
}

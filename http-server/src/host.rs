//! For whom a request is meant: its `Host` field.
//!
//! A page in a browser can have its own name resolve to this machine and so reach what listens on loopback only. Its
//! requests carry that name, so names that nobody has listed are refused there.

use std::net::SocketAddr;
use std::sync::Arc;

use gatepost_domain::host::{host_of, is_same};
use http::Version;
use http::header::HOST;
use http::request::Parts;

/// The name of this machine for itself (RFC 6761 section 6.3).
const LOCALHOST: &str = "localhost";

/// Which hosts requests may name.
#[derive(Debug, Clone)]
pub struct HostRule {
    listed: Arc<[String]>,
    names: Names,
}

/// What becomes of a name that is not listed. IP addresses and `localhost` are always good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// It is as good as others.
    Any,
    /// It is refused.
    Listed,
}

/// What is wrong with a request's `Host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// There must be one, and is none (RFC 9112 section 3.2).
    #[error("the Host field is missing")]
    Missing,
    /// There are several.
    #[error("there is more than one Host field")]
    Several,
    /// It is not a host with or without a port.
    #[error("the Host field is malformed")]
    Malformed,
    /// It is a name by which nobody is reached here.
    #[error("this listener does not know the name in the Host field")]
    Unlisted,
}

impl HostRule {
    /// The rule of a listener: names are judged if some are listed, or if it can be reached from this machine only and
    /// no proxy is in front.
    pub fn new(listed: Vec<String>, listen: SocketAddr, is_behind_proxy: bool) -> Self {
        let is_alone = listen.ip().is_loopback() && !is_behind_proxy;
        let names = if is_alone || !listed.is_empty() { Names::Listed } else { Names::Any };
        Self { listed: listed.into(), names }
    }

    /// Judges the form of a request's `Host`, and answers the host; none where none is needed.
    pub fn host(parts: &Parts) -> Result<Option<&str>, HostFault> {
        let mut fields = parts.headers.get_all(HOST).iter();
        let Some(field) = fields.next() else {
            return if parts.version < Version::HTTP_11 { Ok(None) } else { Err(HostFault::Missing) };
        };
        if fields.next().is_some() {
            return Err(HostFault::Several);
        }
        let host = field.to_str().ok().and_then(host_of);
        host.map(Some).ok_or(HostFault::Malformed)
    }

    /// Judges a request's `Host`, its name included.
    pub fn judge(&self, parts: &Parts) -> Result<(), HostFault> {
        match Self::host(parts)? {
            Some(host) if self.names == Names::Listed && !self.is_meant(host) => Err(HostFault::Unlisted),
            Some(_) | None => Ok(()),
        }
    }

    fn is_meant(&self, host: &str) -> bool {
        let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
        is_address || is_localhost(host) || self.listed.iter().any(|listed| is_same(listed, host))
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

    fn judged(rule: &HostRule, host: &str) -> Result<(), HostFault> {
        rule.judge(&parts(Version::HTTP_11, &[host]))
    }

    fn rule(listed: &[&str], listen: &str, is_behind_proxy: bool) -> HostRule {
        HostRule::new(listed.iter().map(|&name| name.to_owned()).collect(), listen.parse().unwrap(), is_behind_proxy)
    }

    #[test]
    fn one_well_formed_host_must_be_there() {
        let rule = rule(&[], "0.0.0.0:8081", true);
        for (version, hosts, expected) in [
            (Version::HTTP_11, &["a.example"][..], Ok(())),
            (Version::HTTP_11, &[], Err(HostFault::Missing)),
            (Version::HTTP_10, &[], Ok(())),
            (Version::HTTP_11, &["a.example", "a.example"], Err(HostFault::Several)),
            (Version::HTTP_10, &["a.example", "b.example"], Err(HostFault::Several)),
            (Version::HTTP_11, &[""], Err(HostFault::Malformed)),
            (Version::HTTP_11, &["a b"], Err(HostFault::Malformed)),
            (Version::HTTP_11, &["a.example/x"], Err(HostFault::Malformed)),
            (Version::HTTP_11, &["user@a.example"], Err(HostFault::Malformed)),
            (Version::HTTP_11, &["a.example:port"], Err(HostFault::Malformed)),
        ] {
            assert_eq!(rule.judge(&parts(version, hosts)), expected, "{version:?} {hosts:?}");
        }
    }

    #[test]
    fn on_loopback_only_addresses_localhost_and_listed_names_are_meant() {
        let rule = rule(&["keys.example"], LOOPBACK, false);
        for host in ["127.0.0.1:8081", "192.0.2.7", "[::1]:8081", "localhost", "LocalHost.:80", "a.localhost"] {
            assert_eq!(judged(&rule, host), Ok(()), "{host}");
        }
        assert_eq!(judged(&rule, "Keys.Example:443"), Ok(()));
        for host in ["evil.example", "localhost.evil.example", "notlocalhost", "keys.example.evil", "1.2.3"] {
            assert_eq!(judged(&rule, host), Err(HostFault::Unlisted), "{host}");
        }
    }

    #[test]
    fn names_are_judged_on_loopback_and_where_some_are_listed() {
        for (listed, listen, is_behind_proxy, expected) in [
            (&[][..], LOOPBACK, false, Err(HostFault::Unlisted)),
            (&[], LOOPBACK, true, Ok(())),
            (&[], "[::1]:8081", false, Err(HostFault::Unlisted)),
            (&[], "0.0.0.0:8081", true, Ok(())),
            (&["keys.example"], "0.0.0.0:8081", true, Err(HostFault::Unlisted)),
            (&["keys.example"], LOOPBACK, true, Err(HostFault::Unlisted)),
        ] {
            assert_eq!(judged(&rule(listed, listen, is_behind_proxy), "a.example"), expected, "{listed:?} {listen}");
        }
    }
}

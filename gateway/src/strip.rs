//! Takes away from a request what its sender must not say: credentials, what only the gateway or a trusted proxy may
//! tell, and what goes round the route. Names are compared folded.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use gatepost_domain::header_name::is_folded;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::client::Peer;
use crate::credential::bearer;
use crate::listed::{self, Kind};
use crate::options::Strip;
use crate::route::Route;

/// Names that are taken away by one look at all of them.
const AT_ONCE: usize = 4;

/// An identity name of the list, or all that begin so, which trusted proxies may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedName(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Whole(String),
    Prefix(String),
}

/// A name that cannot stand in `gateway.pass_headers`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not the name of an identity header, such as \"remote-user\" or \"x-auth-request-*\"")]
pub struct NotAnIdentityName {
    name: String,
}

impl PassedName {
    /// Parses a name, or the beginning of names with a `*` after it, in any case.
    ///
    /// # Errors
    /// If it does not name headers that are taken away as identities, or not as they are spelled there.
    pub fn parse(text: &str) -> Result<Self, NotAnIdentityName> {
        let name = text.to_ascii_lowercase();
        let is_identity = |name: &str| listed::kind(name, Strip::Default) == Some(Kind::Identity);
        let pattern = match name.strip_suffix('*') {
            Some(prefix) if is_folded(prefix) && listed::covers_prefix(prefix, Kind::Identity) => {
                Pattern::Prefix(prefix.to_owned())
            }
            None if is_folded(&name) && is_identity(&name) => Pattern::Whole(name),
            Some(_) | None => return Err(NotAnIdentityName { name: text.to_owned() }),
        };
        Ok(Self(pattern))
    }

    /// Exactly: what only folds to it may come from a client, through a proxy that sets the name itself.
    fn is(&self, name: &str) -> bool {
        match &self.0 {
            Pattern::Whole(whole) => name == whole,
            Pattern::Prefix(prefix) => name.starts_with(prefix) && is_folded(name),
        }
    }
}

impl fmt::Display for PassedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Whole(whole) => f.write_str(whole),
            Pattern::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// Takes header fields away by `gateway.strip` and `gateway.pass_headers`.
#[derive(Debug)]
pub(crate) struct Stripper {
    strip: Strip,
    passed: Vec<PassedName>,
    /// Whether it was logged that an identity of a trusted proxy is taken away.
    is_logged: AtomicBool,
}

impl Stripper {
    pub(crate) fn new(strip: Strip, passed: Vec<PassedName>) -> Self {
        Self { strip, passed, is_logged: AtomicBool::new(false) }
    }

    /// Takes away what a request must not carry upstream.
    pub(crate) fn strip(&self, headers: &mut HeaderMap, route: &Route, peer: Peer) {
        let is_forbidden = |headers: &HeaderMap, name: &HeaderName| {
            is_credential(headers, route, name) || self.takes_away(name.as_str(), peer)
        };
        // There are few, and a list of them would be an allocation for each request.
        loop {
            let mut found = [const { None }; AT_ONCE];
            let forbidden = headers.keys().filter(|name| is_forbidden(headers, name));
            for (place, name) in found.iter_mut().zip(forbidden) {
                *place = Some(name.clone());
            }
            let is_last = found[AT_ONCE - 1].is_none();
            for name in found.into_iter().flatten() {
                headers.remove(&name);
                if peer == Peer::Trusted {
                    self.log_once(name.as_str());
                }
            }
            if is_last {
                return;
            }
        }
    }

    fn takes_away(&self, name: &str, peer: Peer) -> bool {
        match listed::kind(name, self.strip) {
            None => false,
            Some(Kind::Ours | Kind::Route) => true,
            Some(Kind::Framing) => !is_folded(name),
            Some(Kind::Address) => peer == Peer::Untrusted || !is_folded(name),
            Some(Kind::Identity) => peer == Peer::Untrusted || !self.passed.iter().any(|passed| passed.is(name)),
        }
    }

    /// Logs the first identity that a trusted proxy has set and the upstream does not get.
    fn log_once(&self, name: &str) {
        let is_identity = listed::kind(name, self.strip) == Some(Kind::Identity);
        if is_identity && !self.is_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                header = name,
                "an identity header of a trusted proxy is removed; name it in gateway.pass_headers to pass it"
            );
        }
    }
}

/// Returns whether a field is a place of the route's credential. `Authorization` of another scheme than `Bearer` is
/// not.
fn is_credential(headers: &HeaderMap, route: &Route, name: &HeaderName) -> bool {
    let is_named = route.credential_names.iter().any(|place| place.matches(name.as_str()));
    let is_bearer = || headers.get_all(AUTHORIZATION).iter().any(|value| bearer(value.as_bytes()).is_some());
    is_named && (*name != AUTHORIZATION || is_bearer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_identities_may_be_passed_and_only_as_they_are_listed() {
        for name in ["remote-user", "Remote-User", "x-auth-request-user", "x-forwarded-client-cert"] {
            assert_eq!(PassedName::parse(name).map(|passed| passed.to_string()), Ok(name.to_ascii_lowercase()));
        }
        for prefix in ["x-auth-request-*", "X-Auth-Request-Access-*", "x-ms-client-principal*"] {
            assert_eq!(PassedName::parse(prefix).map(|passed| passed.to_string()), Ok(prefix.to_ascii_lowercase()));
        }
        let wrong = ["", "*", "x-*", "x-auth*", "remote-user*", "remote_user", "x-gatepost-env", "x-real-ip", "cookie"];
        for name in wrong.into_iter().chain(["x-forwarded-for", "proxy", "x-forwarded-*", "x_auth-request-*"]) {
            assert!(PassedName::parse(name).is_err(), "{name}");
        }
    }
}

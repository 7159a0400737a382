//! Takes away from a request what its sender must not say: credentials, what only the gateway or a trusted proxy may
//! tell, and what goes round the route. Names are compared folded.

use std::sync::atomic::{AtomicBool, Ordering};

use gatepost_domain::header_name::is_folded;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::client::Peer;
use crate::credential::bearer;
use crate::listed::{self, Kind, Strip};
use crate::passed_name::PassedName;
use crate::route::Route;

/// Names that are taken away by one look at all of them.
const AT_ONCE: usize = 4;

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

//! Removal of request headers that their sender must not set: credentials, headers of the gateway or of trusted
//! proxies, and headers that bypass the route. Names are compared in normalized form.

use std::sync::atomic::{AtomicBool, Ordering};

use gatepost_domain::header_name::{NormalizedHeaderName, is_normalized};
use gatepost_edge::PeerTrust;
use gatepost_edge::credential::bearer;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::header_rules::{self, HeaderCategory, StripMode};
use crate::pass_header::PassHeader;

/// Names that one pass over the headers removes.
const REMOVE_BATCH: usize = 4;

/// Removes headers by `gateway.strip` and `gateway.pass_headers`.
#[derive(Debug)]
pub(crate) struct HeaderSanitizer {
    mode: StripMode,
    pass_headers: Vec<PassHeader>,
    /// Whether the removal of an identity header of a trusted proxy was logged.
    has_warned: AtomicBool,
}

impl HeaderSanitizer {
    pub(crate) fn new(mode: StripMode, pass_headers: Vec<PassHeader>) -> Self {
        Self { mode, pass_headers, has_warned: AtomicBool::new(false) }
    }

    /// Removes the headers that must not go upstream.
    pub(crate) fn sanitize(
        &self,
        headers: &mut HeaderMap,
        credential_headers: &[NormalizedHeaderName],
        trust: PeerTrust,
    ) {
        let is_forbidden = |headers: &HeaderMap, name: &HeaderName| {
            is_credential(headers, credential_headers, name) || self.is_forbidden(name.as_str(), trust)
        };
        remove_where(headers, is_forbidden, |name| {
            if trust == PeerTrust::Trusted {
                self.warn_once(name.as_str());
            }
        });
    }

    fn is_forbidden(&self, name: &str, trust: PeerTrust) -> bool {
        match header_rules::category(name, self.mode) {
            None => false,
            Some(HeaderCategory::Gateway | HeaderCategory::Routing) => true,
            Some(HeaderCategory::Framing) => !is_normalized(name),
            Some(HeaderCategory::Address) => trust == PeerTrust::Untrusted || !is_normalized(name),
            Some(HeaderCategory::Identity) => {
                trust == PeerTrust::Untrusted || !self.pass_headers.iter().any(|passed| passed.matches(name))
            }
        }
    }

    /// Logs the first removed identity header of a trusted proxy.
    fn warn_once(&self, name: &str) {
        let is_identity = header_rules::category(name, self.mode) == Some(HeaderCategory::Identity);
        if is_identity && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                header = name,
                "an identity header of a trusted proxy is removed; name it in gateway.pass_headers to pass it"
            );
        }
    }
}

/// Removes the fields whose names match, and calls `after_removal` for each name.
#[inline]
pub(crate) fn remove_where(
    headers: &mut HeaderMap,
    is_match: impl Fn(&HeaderMap, &HeaderName) -> bool,
    after_removal: impl Fn(&HeaderName),
) {
    // There are few. A list of all would cost each request an allocation.
    loop {
        let mut found = [const { None }; REMOVE_BATCH];
        let matching = headers.keys().filter(|name| is_match(headers, name));
        for (slot, name) in found.iter_mut().zip(matching) {
            *slot = Some(name.clone());
        }
        let is_last = found[REMOVE_BATCH - 1].is_none();
        for name in found.into_iter().flatten() {
            headers.remove(&name);
            after_removal(&name);
        }
        if is_last {
            return;
        }
    }
}

/// Returns whether a field may hold the route's credential. `Authorization` with another scheme than `Bearer` may not.
fn is_credential(headers: &HeaderMap, credential_headers: &[NormalizedHeaderName], name: &HeaderName) -> bool {
    let is_named = credential_headers.iter().any(|header| header.matches(name.as_str()));
    let is_bearer = || headers.get_all(AUTHORIZATION).iter().any(|value| bearer(value.as_bytes()).is_some());
    is_named && (*name != AUTHORIZATION || is_bearer())
}

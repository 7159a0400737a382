//! Headers that identify the key and the origin of a request to the upstream, in place of those that were removed.

use gatepost_domain::key_facts::KeyFacts;
use gatepost_edge::{Decision, PeerTrust};
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pingora::http::RequestHeader;

use crate::context::Context;
use crate::peer_ip::PeerIp;
use crate::snapshot::{Backend, Route};

const KEY_ID: HeaderName = HeaderName::from_static("x-gatepost-key-id");
const PROJECT_ID: HeaderName = HeaderName::from_static("x-gatepost-project-id");
const ENV: HeaderName = HeaderName::from_static("x-gatepost-env");
const CUSTOM_ACCOUNT_ID: HeaderName = HeaderName::from_static("x-gatepost-custom-account-id");
const CUSTOM_USER_ID: HeaderName = HeaderName::from_static("x-gatepost-custom-user-id");
/// Set only if the client has shown a certificate of an authority of the listener.
const CLIENT_CERTIFICATE: HeaderName = HeaderName::from_static("x-gatepost-client-cert-sha256");
/// The id of a request in the access log.
pub(crate) const REQUEST_ID: &str = "x-request-id";
const REQUEST_ID_NAME: HeaderName = HeaderName::from_static(REQUEST_ID);
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Upper bound of the fields that are added, apart from those of the route.
const MAX_ADDED: usize = 11;

/// Everything but visible ASCII, and the escape itself, so that decoding is the exact inverse.
const OUTSIDE_VISIBLE_ASCII: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// Rewrites the identity and origin headers of a request. Nothing that the client says about them remains.
pub(crate) fn rewrite(request: &mut RequestHeader, decision: &Decision<Backend>, route: &Route, context: &Context) {
    let trust = decision.peer_trust;
    let edits = &route.backend.request_edits;
    edit_headers(request, MAX_ADDED + edits.added(), |headers| {
        context.snapshot.sanitizer.sanitize(headers, &route.credential_headers, trust);
        if !route.page_credentials.is_empty() {
            route.page_credentials.remove_from(headers);
        }
        edits.apply(headers);
        if let Some(facts) = &decision.key_check.facts {
            add_key_headers(headers, facts);
        }
        add_forwarded_headers(headers, trust, context);
        if let Some(trace) = &context.trace {
            trace.set_headers(headers);
        }
    });
}

/// Edits the fields of a request, whose names go upstream in lower case then: preserving their case in Pingora costs
/// more than all edits here.
fn edit_headers(request: &mut RequestHeader, max_added: usize, edit: impl FnOnce(&mut HeaderMap)) {
    let (empty_parts, ()) = http::Request::new(()).into_parts();
    let mut parts = http::request::Parts::from(std::mem::replace(request, RequestHeader::from(empty_parts)));
    parts.headers.reserve(max_added);
    edit(&mut parts.headers);
    *request = RequestHeader::from(parts);
}

fn add_key_headers(headers: &mut HeaderMap, facts: &KeyFacts) {
    headers.insert(KEY_ID, header_value(facts.key.as_str()));
    headers.insert(PROJECT_ID, header_value(facts.project.as_str()));
    headers.insert(ENV, HeaderValue::from_static(facts.env.as_str()));
    if let Some(id) = &facts.custom_account_id {
        headers.insert(CUSTOM_ACCOUNT_ID, percent_encoded(id));
    }
    if let Some(id) = &facts.custom_user_id {
        headers.insert(CUSTOM_USER_ID, percent_encoded(id));
    }
}

/// Adds the origin of the request. All that an untrusted peer said about it was removed before.
fn add_forwarded_headers(headers: &mut HeaderMap, trust: PeerTrust, context: &Context) {
    let is_trusted_value = |headers: &HeaderMap, name| trust == PeerTrust::Trusted && headers.contains_key(name);
    headers.insert(REQUEST_ID_NAME, context.request_id.header());
    if let Some(certificate) = context.tls.as_ref().and_then(|tls| tls.client_certificate.clone()) {
        headers.insert(CLIENT_CERTIFICATE, certificate);
    }
    if let Some(peer) = &context.peer_ip {
        let forwarded_for =
            if is_trusted_value(headers, FORWARDED_FOR) { appended_forwarded_for(headers, peer) } else { None };
        headers.insert(FORWARDED_FOR, forwarded_for.unwrap_or_else(|| peer.header()));
    }
    if !is_trusted_value(headers, FORWARDED_PROTO) {
        let scheme = if context.tls.is_some() { "https" } else { "http" };
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if !is_trusted_value(headers, FORWARDED_HOST)
        && let Some(host) = headers.get(HOST)
    {
        let host = host.clone();
        headers.insert(FORWARDED_HOST, host);
    }
}

/// Appends the nearest proxy to what trusted proxies have forwarded.
fn appended_forwarded_for(headers: &HeaderMap, nearest: &PeerIp) -> Option<HeaderValue> {
    let mut values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).peekable();
    values.peek()?;
    let all: Vec<&str> = values.chain([nearest.as_str()]).collect();
    HeaderValue::try_from(all.join(", ")).ok()
}

/// Returns the value of an id, which has letters, digits and underscores only.
fn header_value(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn percent_encoded(text: &str) -> HeaderValue {
    header_value(&utf8_percent_encode(text, OUTSIDE_VISIBLE_ASCII).to_string())
}

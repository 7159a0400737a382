//! Headers that tell the upstream whose request it is: the client's own are taken away in any spelling,
//! ours are put in their place.

use std::net::IpAddr;

use gatepost_domain::permit::KeyFacts;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pingora::http::RequestHeader;

use crate::credential::bearer;
use crate::route::Route;

/// All names that begin so are ours.
const OURS: &str = "x-gatepost-";
const KEY_ID: HeaderName = HeaderName::from_static("x-gatepost-key-id");
const PROJECT_ID: HeaderName = HeaderName::from_static("x-gatepost-project-id");
const ENV: HeaderName = HeaderName::from_static("x-gatepost-env");
const CUSTOM_ACCOUNT_ID: HeaderName = HeaderName::from_static("x-gatepost-custom-account-id");
const CUSTOM_USER_ID: HeaderName = HeaderName::from_static("x-gatepost-custom-user-id");
/// The id under which a request stands in the access log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What only a trusted proxy may say of a request's origin.
const OF_PROXIES: [&str; 8] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-real-ip",
    "x-request-id",
];

/// All but visible ASCII, and the escape itself, so that decoding gives back what was encoded.
const OUTSIDE_VISIBLE_ASCII: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// Whether the peer's word on a request's origin counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Trusted,
    Untrusted,
}

/// Takes away what the client must not say: identity, credential, and origin unless the peer is trusted.
pub(crate) fn strip(request: &mut RequestHeader, route: &Route, peer: Peer) {
    let gone: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| {
            let folded = name.as_str().replace('_', "-");
            let is_forged_spelling = folded != name.as_str();
            let is_of_proxies = OF_PROXIES.contains(&folded.as_str());
            folded.starts_with(OURS)
                || (is_of_proxies && (peer == Peer::Untrusted || is_forged_spelling))
                || is_credential(&request.headers, route, name, &folded)
        })
        .cloned()
        .collect();
    for name in &gone {
        request.remove_header(name);
    }
}

/// `Authorization` of another scheme than `Bearer` is not ours.
fn is_credential(headers: &HeaderMap, route: &Route, name: &HeaderName, folded: &str) -> bool {
    let is_named = route.credential_headers().any(|place| place.as_str().replace('_', "-") == folded);
    let is_ours = *name != AUTHORIZATION || headers.get(AUTHORIZATION).is_some_and(|v| bearer(v.as_bytes()).is_some());
    is_named && is_ours
}

/// Tells whose request it is.
pub(crate) fn add_key(request: &mut RequestHeader, facts: &KeyFacts) -> pingora::Result<()> {
    request.insert_header(KEY_ID, facts.key.as_str())?;
    request.insert_header(PROJECT_ID, facts.project.as_str())?;
    request.insert_header(ENV, facts.env.as_str())?;
    if let Some(id) = &facts.custom_account_id {
        request.insert_header(CUSTOM_ACCOUNT_ID, encoded(id))?;
    }
    if let Some(id) = &facts.custom_user_id {
        request.insert_header(CUSTOM_USER_ID, encoded(id))?;
    }
    Ok(())
}

/// Tells where the request came from.
pub(crate) fn add_origin(request: &mut RequestHeader, client: Option<IpAddr>, request_id: &str) -> pingora::Result<()> {
    request.insert_header(REQUEST_ID, request_id)?;
    if let Some(client) = client {
        let value = match joined(&request.headers) {
            Some(before) => format!("{before}, {client}"),
            None => client.to_string(),
        };
        request.insert_header(FORWARDED_FOR, value)?;
    }
    if !request.headers.contains_key(FORWARDED_PROTO) {
        request.insert_header(FORWARDED_PROTO, "http")?;
    }
    if let Some(host) = request.headers.get(HOST).filter(|_| !request.headers.contains_key(FORWARDED_HOST)) {
        request.insert_header(FORWARDED_HOST, host.clone())?;
    }
    Ok(())
}

/// What trusted proxies said before.
fn joined(headers: &HeaderMap) -> Option<String> {
    let values: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn encoded(text: &str) -> HeaderValue {
    let encoded = utf8_percent_encode(text, OUTSIDE_VISIBLE_ASCII).to_string();
    HeaderValue::from_str(&encoded).unwrap_or_else(|_| HeaderValue::from_static(""))
}

//! Headers that tell the upstream whose request it is: the client's own are taken away in any spelling,
//! ours are put in their place.

use std::net::IpAddr;

use gatepost_domain::permit::KeyFacts;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pingora::http::RequestHeader;

use crate::credential::bearer;
use crate::request_id::RequestId;
use crate::route::Route;

/// All names that begin so are ours.
const OURS: &str = "x-gatepost-";
// As text, for Pingora copies and parses the name of a header in any case.
const KEY_ID: &str = "x-gatepost-key-id";
const PROJECT_ID: &str = "x-gatepost-project-id";
const ENV: &str = "x-gatepost-env";
const CUSTOM_ACCOUNT_ID: &str = "x-gatepost-custom-account-id";
const CUSTOM_USER_ID: &str = "x-gatepost-custom-user-id";
/// The id under which a request stands in the access log.
pub(crate) const REQUEST_ID: &str = "x-request-id";
const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_HOST: &str = "x-forwarded-host";

/// What some servers take for the method or the path, which the route was chosen by.
const OVERRIDES: [&str; 5] =
    ["x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url"];
/// What only a trusted proxy may say of a request's origin, beside all that begins with `x-forwarded-`.
const OF_PROXIES: [&str; 2] = ["forwarded", "x-real-ip"];
const FORWARDED: &str = "x-forwarded-";

/// All but visible ASCII, and the escape itself, so that decoding gives back what was encoded.
const OUTSIDE_VISIBLE_ASCII: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// Whether the peer's word on a request's origin counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Trusted,
    Untrusted,
}

/// The name of a header as servers read it that take `_` for `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoldedName(String);

impl FoldedName {
    pub(crate) fn new(name: &HeaderName) -> Self {
        Self(name.as_str().replace('_', "-"))
    }

    fn is(&self, name: &str) -> bool {
        is_folded(name, &self.0)
    }
}

/// Takes away what the client must not say: identity, credential, what goes round the route, and origin unless the
/// peer is trusted.
pub(crate) fn strip(request: &mut RequestHeader, route: &Route, peer: Peer) {
    // One by one: there are few, and a list of them would be an allocation for each request.
    while let Some(name) = request.headers.keys().find(|name| is_forbidden(&request.headers, route, peer, name)) {
        let name = name.clone();
        request.remove_header(&name);
    }
}

fn is_forbidden(headers: &HeaderMap, route: &Route, peer: Peer, name: &HeaderName) -> bool {
    let text = name.as_str();
    is_credential(headers, route, name)
        || (text.starts_with(['x', 'f']) && (is_always_ours(text) || is_of_proxies(text, peer)))
}

fn is_always_ours(name: &str) -> bool {
    begins_folded(name, OURS)
        || is_folded(name, REQUEST_ID)
        || OVERRIDES.iter().any(|override_name| is_folded(name, override_name))
}

/// Also a trusted proxy spells them with `-`.
fn is_of_proxies(name: &str, peer: Peer) -> bool {
    let is_one = begins_folded(name, FORWARDED) || OF_PROXIES.iter().any(|other| is_folded(name, other));
    is_one && (peer == Peer::Untrusted || name.contains('_'))
}

/// `Authorization` of another scheme than `Bearer` is not ours.
fn is_credential(headers: &HeaderMap, route: &Route, name: &HeaderName) -> bool {
    let is_named = route.credential_names.iter().any(|place| place.is(name.as_str()));
    let is_bearer = || headers.get_all(AUTHORIZATION).iter().any(|value| bearer(value.as_bytes()).is_some());
    is_named && (*name != AUTHORIZATION || is_bearer())
}

fn is_folded(name: &str, folded: &str) -> bool {
    name.len() == folded.len() && begins_folded(name, folded)
}

fn begins_folded(name: &str, folded: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.len() >= folded.len() && name.bytes().zip(folded.bytes()).all(|(byte, wanted)| fold(byte) == wanted)
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
pub(crate) fn add_origin(
    request: &mut RequestHeader,
    client: Option<IpAddr>,
    request_id: &RequestId,
) -> pingora::Result<()> {
    request.insert_header(REQUEST_ID, request_id.header())?;
    if let Some(client) = client {
        let value = match joined(&request.headers) {
            Some(before) => format!("{before}, {client}"),
            None => client.to_string(),
        };
        request.insert_header(FORWARDED_FOR, value)?;
    }
    if !request.headers.contains_key(FORWARDED_PROTO) {
        request.insert_header(FORWARDED_PROTO, HeaderValue::from_static("http"))?;
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

//! Edits of headers that a route asks for: which names it may edit, and the edits themselves.

use gatepost_domain::header_name::{NormalizedHeaderName, has_normalized_prefix, normalizes_to};
use gatepost_edge::{CredentialLocation, HeaderEdits};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::ResponseHeader;

use crate::header_rules::{self, HeaderCategory, StripMode};
use crate::header_sanitizer::remove_where;

/// Headers that delimit or route messages, or belong to one connection (RFC 9110 section 7.6.1).
const FRAMING: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
const FRAMING_PREFIX: &str = "sec-websocket-";
/// Headers of traces, which the gateway sets.
const TRACE: [&str; 2] = ["traceparent", "tracestate"];
/// Name that clients must not send, in which an upstream may learn what the gateway strips from its paths.
const FORWARDED_PREFIX: &str = "x-forwarded-prefix";

/// A name that a route cannot edit. The text follows the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseHeaderNameError {
    #[error("is not a header name")]
    NotAName,
    #[error("cannot be edited: it delimits or routes messages")]
    Framing,
    #[error("cannot be edited: the gateway sets or removes it itself")]
    Gateway,
    #[error("cannot be edited: the route looks for keys in it")]
    Credential,
}

/// Parses a name that a route may edit in requests.
///
/// # Errors
/// If servers could read it as a name on which the gateway decides, in any spelling.
pub fn parse_request_header_name(
    text: &str,
    credential: &[CredentialLocation],
) -> Result<HeaderName, ParseHeaderNameError> {
    let name = parse_name(text)?;
    let is_set = TRACE.iter().any(|trace| normalizes_to(text, trace)) || is_listed(text);
    if is_set && !name.as_str().eq(FORWARDED_PREFIX) {
        return Err(ParseHeaderNameError::Gateway);
    }
    let mut credential_names = credential.iter().filter_map(CredentialLocation::header_name);
    if credential_names.any(|name| NormalizedHeaderName::new(name.as_str()).matches(text)) {
        return Err(ParseHeaderNameError::Credential);
    }
    Ok(name)
}

/// Parses a name that a route may edit in responses.
///
/// # Errors
/// If the name delimits or routes messages, or if only the gateway may set it.
pub fn parse_response_header_name(text: &str) -> Result<HeaderName, ParseHeaderNameError> {
    let name = parse_name(text)?;
    match header_rules::category(text, StripMode::Default) {
        Some(HeaderCategory::Gateway) => Err(ParseHeaderNameError::Gateway),
        Some(_) | None => Ok(name),
    }
}

fn parse_name(text: &str) -> Result<HeaderName, ParseHeaderNameError> {
    let is_framing = FRAMING.iter().any(|framing| normalizes_to(text, framing));
    if is_framing || has_normalized_prefix(text, FRAMING_PREFIX) {
        return Err(ParseHeaderNameError::Framing);
    }
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| ParseHeaderNameError::NotAName)
}

/// Returns whether the gateway removes a name from requests of some clients.
fn is_listed(name: &str) -> bool {
    header_rules::category(name, StripMode::Default).is_some()
}

/// Edits of requests, prepared when a configuration is loaded.
#[derive(Debug)]
pub(crate) struct RequestEdits {
    /// All edited names. No other spelling of them goes upstream: some servers would take it for the same.
    names: Vec<NormalizedHeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
}

impl RequestEdits {
    pub(crate) fn new(edits: &HeaderEdits) -> Self {
        let names = edits.names().map(|name| NormalizedHeaderName::new(name.as_str())).collect();
        Self { names, set: edits.set.clone() }
    }

    /// Returns how many fields the edits add at most.
    pub(crate) fn added(&self) -> usize {
        self.set.len()
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        if self.names.is_empty() {
            return;
        }
        remove_where(headers, |_, name| self.names.iter().any(|edited| edited.matches(name.as_str())), |_| ());
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// Applies the edits of a response.
pub(crate) fn edit_response(response: &mut ResponseHeader, edits: &HeaderEdits) -> pingora::Result<()> {
    for name in &edits.remove {
        response.remove_header(name);
    }
    for (name, value) in &edits.set {
        response.insert_header(name.clone(), value.clone())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_which_the_gateway_decides_cannot_be_edited() {
        use ParseHeaderNameError::{Credential, Framing, Gateway, NotAName};
        let credential = [CredentialLocation::Header(HeaderName::from_static("x-api-key"))];
        for (name, request, response) in [
            ("x-team", None, None),
            ("X-Team", None, None),
            ("authorization", None, None),
            ("x-forwarded-prefix", None, None),
            ("x_forwarded_prefix", Some(Gateway), None),
            ("x-forwarded-for", Some(Gateway), None),
            ("remote-user", Some(Gateway), None),
            ("Remote_User", Some(Gateway), None),
            ("x-original-url", Some(Gateway), None),
            ("traceparent", Some(Gateway), None),
            ("x-gatepost-env", Some(Gateway), Some(Gateway)),
            ("X.Gatepost.Other", Some(Gateway), Some(Gateway)),
            ("x-request-id", Some(Gateway), Some(Gateway)),
            ("x-api-key", Some(Credential), None),
            ("X_API_Key", Some(Credential), None),
            ("host", Some(Framing), Some(Framing)),
            ("Connection", Some(Framing), Some(Framing)),
            ("content_length", Some(Framing), Some(Framing)),
            ("transfer-encoding", Some(Framing), Some(Framing)),
            ("sec-websocket-accept", Some(Framing), Some(Framing)),
            ("", Some(NotAName), Some(NotAName)),
            ("x team", Some(NotAName), Some(NotAName)),
        ] {
            assert_eq!(parse_request_header_name(name, &credential).err(), request, "request {name:?}");
            assert_eq!(parse_response_header_name(name).err(), response, "response {name:?}");
        }
    }

    #[test]
    fn no_spelling_of_an_edited_name_remains() {
        let edits = HeaderEdits {
            set: vec![(HeaderName::from_static("x-team"), HeaderValue::from_static("a"))],
            remove: vec![HeaderName::from_static("x-debug")],
        };
        let mut headers: HeaderMap = ["x-team", "x_team", "x.debug", "x-debug", "x-debugger"]
            .into_iter()
            .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("evil")))
            .collect();
        RequestEdits::new(&edits).apply(&mut headers);
        let mut left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        left.sort_unstable();
        assert_eq!(left, [("x-debugger", b"evil".as_slice()), ("x-team", b"a")]);
    }
}

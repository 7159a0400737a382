//! The request of one webhook message: its parts, the header names that it may have, and its headers.

use gatepost_domain::header_name::normalizes_to;
use gatepost_domain::id::EventId;
use gatepost_domain::key::Secret;
use gatepost_domain::time::Timestamp;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::send_error::SendError;
use crate::sign::{self, SigningSecret};

/// Header names that Gatepost or HTTP sets.
const RESERVED_HEADERS: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "theauthapi-signature",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// Opt-in header of the hosted product. It does not authenticate the body and is not derived from the signing
/// secret.
const STATIC_TOKEN: &str = "theauthapi-signature";

/// Returns whether a webhook's custom headers must not use a name because a receiver could read it as a header
/// of Gatepost or HTTP.
pub fn is_reserved(name: &str) -> bool {
    RESERVED_HEADERS.iter().any(|reserved| normalizes_to(name, reserved))
}

/// Returns whether a text is a header name (RFC 9110).
pub fn is_header_name(name: &str) -> bool {
    name.parse::<HeaderName>().is_ok()
}

/// Returns whether a text is a header value (RFC 9110).
pub fn is_header_value(value: &str) -> bool {
    value.parse::<HeaderValue>().is_ok()
}

/// A request to send. It contains secrets in plaintext, so it implements no `Debug`.
pub struct Message<'a> {
    /// URL of the receiver.
    pub url: &'a Url,
    /// HTTP method.
    pub method: &'a str,
    /// Custom headers of the webhook. Reserved names are skipped.
    pub headers: &'a [(String, Secret)],
    /// Event id, sent as `webhook-id`.
    pub id: &'a EventId,
    /// Request body.
    pub body: Vec<u8>,
    /// Signing secrets, one signature each. Without any the request is unsigned.
    pub secrets: &'a [SigningSecret],
    /// Token sent as `theauthapi-signature`, as receivers of the hosted product expect.
    pub static_token: Option<&'a Secret>,
    /// Secrets that the body contains. They are redacted in the response, as are all other secrets of the request.
    pub confidential: &'a [&'a Secret],
}

impl Message<'_> {
    /// Returns all headers of the request: custom ones, the signatures, and those that Gatepost sets.
    pub(crate) fn request_headers(&self, at: Timestamp) -> Result<HeaderMap, SendError> {
        let mut headers = HeaderMap::new();
        // A webhook of v0.1.0 may have headers that were reserved later.
        for (name, value) in self.headers.iter().filter(|(name, _)| !is_reserved(name)) {
            let parsed: HeaderName = name.parse().map_err(|_| SendError::HeaderName(name.clone()))?;
            let value = value.expose().parse().map_err(|_| SendError::HeaderValue(name.clone()))?;
            headers.append(parsed, value);
        }
        let signature = sign::signatures(self.secrets, self.id, at, &self.body);
        let own_headers = [
            ("webhook-id", Some(self.id.as_str())),
            ("webhook-timestamp", Some(at.as_seconds().to_string().as_str())),
            ("webhook-signature", Some(signature.as_str()).filter(|_| !self.secrets.is_empty())),
            (STATIC_TOKEN, self.static_token.map(Secret::expose)),
        ]
        .map(|(name, value)| value.map(|value| (name, HeaderValue::from_str(value))));
        for (name, value) in own_headers.into_iter().flatten() {
            headers.insert(name, value.map_err(|_| SendError::HeaderValue(name.to_owned()))?);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(headers)
    }
}

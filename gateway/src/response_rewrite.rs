//! Rewriting of a response's header for the client: one framing, in the client's version of HTTP, without the
//! hop-by-hop fields of the upstream connection (RFC 9110 section 7.6.1).

use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::response_check::parse_length;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Delimiter of a response's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyDelimiter {
    /// The header.
    Framed,
    /// The end of the connection.
    ConnectionClose,
}

/// Fields of a response that need work.
#[derive(Debug, Clone, Copy, Default)]
struct PresentFields {
    has_length: bool,
    /// More than one length, or a list.
    has_several_lengths: bool,
    has_encoding: bool,
    has_hop_by_hop: bool,
}

/// Rewrites the header of the response to a request.
pub(crate) fn rewrite(response: &mut ResponseHeader, request: &RequestHeader) -> pingora::Result<BodyDelimiter> {
    response.set_version(Version::HTTP_11);
    let present = scan_fields(&response.headers);
    if present.has_hop_by_hop && response.status != StatusCode::SWITCHING_PROTOCOLS {
        remove_hop_by_hop(response);
    }
    if is_bodiless(response.status) {
        remove(response, &[&CONTENT_LENGTH, &TRANSFER_ENCODING]);
        return Ok(BodyDelimiter::Framed);
    }
    if present.has_several_lengths {
        merge_content_lengths(response)?;
    }
    let has_chunks = present.has_encoding && request.version != Version::HTTP_10;
    if present.has_encoding && !has_chunks {
        remove(response, &[&TRANSFER_ENCODING]);
    }
    let is_framed = present.has_length || has_chunks || request.method == Method::HEAD;
    Ok(if is_framed { BodyDelimiter::Framed } else { BodyDelimiter::ConnectionClose })
}

fn scan_fields(headers: &HeaderMap) -> PresentFields {
    let mut present = PresentFields::default();
    for (name, value) in headers {
        match name.as_str() {
            "content-length" => {
                present.has_several_lengths |= present.has_length || value.as_bytes().contains(&b',');
                present.has_length = true;
            }
            "transfer-encoding" => present.has_encoding = true,
            "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "upgrade" => {
                present.has_hop_by_hop = true
            }
            _ => {}
        }
    }
    present
}

/// Returns whether a response ends with its header, so that no field may delimit a body.
fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// Merges lengths into one. They are equal, or the response would not have passed its check.
fn merge_content_lengths(response: &mut ResponseHeader) -> pingora::Result<()> {
    let first = response.headers.get(CONTENT_LENGTH);
    match first.and_then(|first| first.as_bytes().split(|byte| *byte == b',').next()).and_then(parse_length) {
        Some(length) => response.insert_header(CONTENT_LENGTH, length.to_string()),
        None => Ok(()),
    }
}

fn remove_hop_by_hop(response: &mut ResponseHeader) {
    for name in connection_options(&response.headers).collect::<Vec<_>>() {
        remove(response, &[&name]);
    }
    remove(response, &[&CONNECTION, &KEEP_ALIVE, &PROXY_CONNECTION, &TE, &TRAILER]);
    if response.status != StatusCode::UPGRADE_REQUIRED {
        remove(response, &[&UPGRADE]);
    }
}

/// Options of `Connection` that are not fields, or that are handled separately.
const NON_FIELD_OPTIONS: [&[u8]; 5] = [b"close", b"keep-alive", b"upgrade", b"content-length", b"transfer-encoding"];

/// Returns the fields that `Connection` names.
fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(|name| name.trim_ascii());
    let names = names.filter(|name| !NON_FIELD_OPTIONS.iter().any(|option| option.eq_ignore_ascii_case(name)));
    names.filter_map(|name| HeaderName::from_bytes(name).ok())
}

fn remove(response: &mut ResponseHeader, names: &[&HeaderName]) {
    for name in names {
        response.remove_header(*name);
    }
}

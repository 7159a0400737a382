//! The strict front: what a request must look like before anything else is asked (RFC 9112).
//!
//! It judges the bytes of the header as they came, for the parser behind it forgives and repairs.

use gatepost_domain::host::parse_host;
use gatepost_domain::path::{CanonicalPath, PathError};
use gatepost_domain::problem::ErrorCode;
use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::{Method, Version};
use memchr::{memchr, memchr2};
use pingora::http::RequestHeader;

use crate::request_framing::BodyFraming;

/// Bytes of a request's header, request line included.
pub(crate) const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Fields of a request's header.
pub(crate) const MAX_HEADER_FIELDS: usize = 100;
/// Bytes of a request's target.
pub(crate) const MAX_TARGET_BYTES: usize = 8 * 1024;
/// The target that is no resource (RFC 9112 section 3.2.4).
const ASTERISK: &str = "*";

/// Who a request is for.
#[derive(Debug)]
pub(crate) enum Destination<'a> {
    /// Something of an upstream.
    Upstream(ValidatedRequest<'a>),
    /// The gateway itself: `OPTIONS *` (RFC 9110 section 9.3.7), with what follows its header.
    Gateway(BodyFraming),
}

/// What the front learned of a request. It borrows from the header, so that a plain request costs no copy.
#[derive(Debug)]
pub(crate) struct ValidatedRequest<'a> {
    /// Without port, as the client spells it; empty if it names none.
    pub(crate) host: &'a str,
    /// Decides the route and goes upstream.
    pub(crate) path: CanonicalPath<'a>,
    /// What follows the header.
    pub(crate) body: BodyFraming,
    /// As it came, without `?`.
    query: Option<&'a str>,
    form: TargetForm,
}

/// The two forms of a target (RFC 9112 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TargetForm {
    Origin,
    Absolute,
}

/// What goes upstream: the canonical path that decided the route, in origin form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RequestTarget {
    /// As it came; its path has so many bytes.
    Unchanged { path_bytes: usize },
    /// Brought into that form; its path has so many bytes.
    Rewritten { target: String, path_bytes: usize },
}

impl RequestTarget {
    /// The target of a request for the gateway, which never goes upstream.
    pub(crate) fn asterisk() -> Self {
        Self::Rewritten { target: ASTERISK.to_owned(), path_bytes: ASTERISK.len() }
    }
}

impl ValidatedRequest<'_> {
    pub(crate) fn into_target(self) -> RequestTarget {
        let path_bytes = self.path.as_str().len();
        if self.form == TargetForm::Origin && self.path.is_unchanged() {
            return RequestTarget::Unchanged { path_bytes };
        }
        let path = self.path.as_str();
        let target = self.query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        RequestTarget::Rewritten { target, path_bytes }
    }
}

/// Judges a request by its parsed and by its raw header.
pub(crate) fn validate<'a>(
    request: &'a RequestHeader,
    raw: &[u8],
    max_body_bytes: u64,
) -> Result<Destination<'a>, ErrorCode> {
    check_size(request, raw)?;
    check_lines(raw)?;
    check_version_and_method(request)?;
    let body = check_framing(request, raw, max_body_bytes)?;
    check_expectation(request)?;
    let (authority, host) = parse_authority(request)?;
    match parse_resource(request, authority) {
        Ok((path, query, form)) => Ok(Destination::Upstream(ValidatedRequest { host, path, body, query, form })),
        Err(ErrorCode::BadPath) if is_server_options(request, authority) => Ok(Destination::Gateway(body)),
        Err(code) => Err(code),
    }
}

fn check_size(request: &RequestHeader, raw: &[u8]) -> Result<(), ErrorCode> {
    if request.raw_path().len() > MAX_TARGET_BYTES {
        return Err(ErrorCode::UriTooLong);
    }
    if raw.len() > MAX_HEADER_BYTES || request.headers.len() > MAX_HEADER_FIELDS {
        return Err(ErrorCode::HeaderTooLarge);
    }
    Ok(())
}

/// Every line ends with CR LF, and none begins with a space.
fn check_lines(raw: &[u8]) -> Result<(), ErrorCode> {
    let mut rest = raw;
    while let Some(first) = rest.first() {
        let end = memchr2(b'\r', b'\n', rest).ok_or(ErrorCode::BadRequest)?;
        let next = rest[end..].strip_prefix(b"\r\n").ok_or(ErrorCode::BadRequest)?;
        if matches!(first, b' ' | b'\t') {
            return Err(ErrorCode::BadRequest);
        }
        rest = next;
    }
    Ok(())
}

fn check_version_and_method(request: &RequestHeader) -> Result<(), ErrorCode> {
    if !matches!(request.version, Version::HTTP_10 | Version::HTTP_11) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    if matches!(request.method, Method::TRACE | Method::CONNECT) {
        return Err(ErrorCode::MethodNotAllowed);
    }
    Ok(())
}

/// `Transfer-Encoding` exactly `chunked` or none, one `Content-Length` of digits or none, never both.
/// From the raw header: the parser takes `Content-Length` away beside `Transfer-Encoding`. A body that says that it
/// is too long is refused before its first byte.
fn check_framing(request: &RequestHeader, raw: &[u8], max_body_bytes: u64) -> Result<BodyFraming, ErrorCode> {
    if !request.headers.contains_key(TRANSFER_ENCODING) && !request.headers.contains_key(CONTENT_LENGTH) {
        return Ok(BodyFraming::EMPTY);
    }
    let mut encodings = raw_field_values(raw, b"transfer-encoding");
    let mut lengths = raw_field_values(raw, b"content-length");
    match (encodings.next(), lengths.next()) {
        (None, None) => Ok(BodyFraming::EMPTY),
        (Some(_), Some(_)) => Err(ErrorCode::BadRequest),
        (Some(_), None) if request.version == Version::HTTP_10 => Err(ErrorCode::BadRequest),
        (Some(encoding), None) if encoding.eq_ignore_ascii_case(b"chunked") && encodings.next().is_none() => {
            Ok(BodyFraming::CHUNKED)
        }
        (Some(_), None) => Err(ErrorCode::UnsupportedTransferEncoding),
        (None, Some(length)) if lengths.next().is_none() => match parse_content_length(length) {
            Some(length) if length > max_body_bytes => Err(ErrorCode::BodyTooLarge),
            Some(length) => Ok(BodyFraming::Length(length)),
            None => Err(ErrorCode::BadRequest),
        },
        (None, Some(_)) => Err(ErrorCode::BadRequest),
    }
}

/// Values of the raw header's fields of one name, which is in lower case.
fn raw_field_values<'a>(raw: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    raw.split(|byte| *byte == b'\n').skip(1).filter_map(move |line| {
        let (found, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

fn parse_content_length(text: &[u8]) -> Option<u64> {
    // 18 digits fit a u64 with room for any sum.
    let is_plain = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_plain)?.parse().ok()
}

/// HTTP/1.0 has no expectations (RFC 9110 section 10.1.1).
fn check_expectation(request: &RequestHeader) -> Result<(), ErrorCode> {
    if request.version == Version::HTTP_10 {
        return Ok(());
    }
    let mut expectations = request.headers.get_all(EXPECT).iter();
    match expectations.next() {
        Some(expectation) if !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(ErrorCode::ExpectationFailed)
        }
        Some(_) | None => Ok(()),
    }
}

/// The one `Host`, with and without its port. In HTTP/1.0 it may be absent; both are empty then.
fn parse_authority(request: &RequestHeader) -> Result<(&str, &str), ErrorCode> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (None, _) if request.version == Version::HTTP_10 => return Ok(("", "")),
        (_, _) => return Err(ErrorCode::BadHost),
    };
    let authority = host.to_str().map_err(|_| ErrorCode::BadHost)?;
    parse_host(authority).map(|host| (authority, host)).ok_or(ErrorCode::BadHost)
}

fn parse_resource<'a>(
    request: &'a RequestHeader,
    authority: &str,
) -> Result<(CanonicalPath<'a>, Option<&'a str>, TargetForm), ErrorCode> {
    let (path, query, form) = parse_target(request, authority)?;
    Ok((CanonicalPath::parse(path).map_err(path_error_code)?, query, form))
}

/// Returns whether it is `OPTIONS *`, or that in absolute form: a URI that ends with its authority.
fn is_server_options(request: &RequestHeader, authority: &str) -> bool {
    let target = std::str::from_utf8(request.raw_path()).unwrap_or_default();
    let without_scheme = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let is_server = without_scheme.map_or(target == ASTERISK, |rest| rest.eq_ignore_ascii_case(authority));
    request.method == Method::OPTIONS && is_server
}

/// Path and query of the target: in origin form, or in absolute form with the authority of `Host`.
fn parse_target<'a>(
    request: &'a RequestHeader,
    authority: &str,
) -> Result<(&'a str, Option<&'a str>, TargetForm), ErrorCode> {
    let target = std::str::from_utf8(request.raw_path()).map_err(|_| ErrorCode::BadPath)?;
    // All of them, not up to the first other one: so it is done for many at a time.
    if !target.bytes().fold(true, |so_far, byte| so_far & byte.is_ascii_graphic() & (byte != b'#')) {
        return Err(ErrorCode::BadPath);
    }
    let (origin_form, form) = match target.strip_prefix("http://").or_else(|| target.strip_prefix("https://")) {
        None => (target, TargetForm::Origin),
        Some(absolute) => {
            let end = absolute.find(['/', '?']).unwrap_or(absolute.len());
            if !absolute[..end].eq_ignore_ascii_case(authority) {
                return Err(ErrorCode::BadHost);
            }
            if !absolute[end..].starts_with('/') {
                return Err(ErrorCode::BadPath);
            }
            (&absolute[end..], TargetForm::Absolute)
        }
    };
    let query_at = memchr(b'?', origin_form.as_bytes());
    let (path, query) = query_at.map_or((origin_form, None), |at| (&origin_form[..at], Some(&origin_form[at + 1..])));
    Ok((path, query, form))
}

fn path_error_code(error: PathError) -> ErrorCode {
    if error == PathError::TooLong { ErrorCode::UriTooLong } else { ErrorCode::BadPath }
}

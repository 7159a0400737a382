//! Request validation: the form that a request must have before its route and its key are looked at (RFC 9110).

use gatepost_domain::host::parse_host;
use gatepost_domain::path::Quirks;
use gatepost_domain::problem::ErrorCode;
use http::header::{EXPECT, HOST};
use http::{Method, Version};

use crate::request_target::{Resource, is_server_options};
use crate::request_view::{BodyLength, MAX_HEADER_BYTES, MessageError, RequestView};

pub const MAX_HEADER_FIELDS: usize = 100;
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

/// The recipient of a valid request.
#[derive(Debug)]
pub enum Destination<'a> {
    Upstream(ValidatedRequest<'a>),
    /// The gateway itself: `OPTIONS *` (RFC 9110 section 9.3.7).
    Gateway(BodyLength),
}

/// A valid request. Borrows from the header.
#[derive(Debug)]
pub struct ValidatedRequest<'a> {
    /// Without port, as the client spells it; empty if the client names none.
    pub host: &'a str,
    pub resource: Resource<'a>,
    pub body: BodyLength,
}

/// Validates a request whose path has no quirk.
///
/// # Errors
/// As [`validate_accepting`].
pub fn validate<'a>(request: &RequestView<'a>) -> Result<Destination<'a>, ErrorCode> {
    validate_accepting(request, Quirks::NONE)
}

/// Validates a request whose path may have some quirks. The order of the checks decides the response to a request with
/// several faults.
///
/// # Errors
/// The code of the first fault.
// Every request takes this path, and it has a second caller, for which the compiler would not inline it.
#[inline]
pub fn validate_accepting<'a>(request: &RequestView<'a>, accepted: Quirks) -> Result<Destination<'a>, ErrorCode> {
    check_size(request)?;
    if request.body == Err(MessageError::MalformedLine) {
        return Err(MessageError::MalformedLine.code());
    }
    check_version_and_method(request)?;
    let body = request.body.map_err(MessageError::code)?;
    check_expectation(request)?;
    let (authority, host) = parse_authority(request)?;
    match Resource::parse(request.target, authority, accepted) {
        Ok(resource) => Ok(Destination::Upstream(ValidatedRequest { host, resource, body })),
        Err(ErrorCode::BadPath) if is_server_options(request.method, request.target, authority) => {
            Ok(Destination::Gateway(body))
        }
        Err(code) => Err(code),
    }
}

fn check_size(request: &RequestView<'_>) -> Result<(), ErrorCode> {
    if request.target.len() > MAX_TARGET_BYTES {
        return Err(ErrorCode::UriTooLong);
    }
    if request.header_bytes > MAX_HEADER_BYTES || request.headers.len() > MAX_HEADER_FIELDS {
        return Err(ErrorCode::HeaderTooLarge);
    }
    Ok(())
}

fn check_version_and_method(request: &RequestView<'_>) -> Result<(), ErrorCode> {
    if !matches!(request.version, Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    if matches!(*request.method, Method::TRACE | Method::CONNECT) {
        return Err(ErrorCode::MethodNotAllowed);
    }
    Ok(())
}

/// HTTP/1.0 has no expectations (RFC 9110 section 10.1.1).
fn check_expectation(request: &RequestView<'_>) -> Result<(), ErrorCode> {
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

/// Returns the one authority, with and without its port. HTTP/1.0 may have no `Host`: both are empty then. If HTTP/2
/// has both `:authority` and `Host`, they must be the same (RFC 9113 section 8.3.1).
fn parse_authority<'a>(request: &RequestView<'a>) -> Result<(&'a str, &'a str), ErrorCode> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().map_err(|_| ErrorCode::BadHost)?),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(ErrorCode::BadHost),
    };
    let authority = match (request.authority, host) {
        (None, Some(host)) => host,
        (Some(authority), None) => authority,
        (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host) => authority,
        (Some(_), Some(_)) => return Err(ErrorCode::BadHost),
        (None, None) if request.version == Version::HTTP_10 => return Ok(("", "")),
        (None, None) => return Err(ErrorCode::BadHost),
    };
    parse_host(authority).map(|host| (authority, host)).ok_or(ErrorCode::BadHost)
}

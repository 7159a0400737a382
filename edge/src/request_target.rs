//! Targets of requests (RFC 9112 section 3.2): as they come, and in the canonical form that goes upstream.

use gatepost_domain::path::{CanonicalPath, PathError, PathRules, Quirks};
use gatepost_domain::problem::ErrorCode;
use http::Method;
use memchr::memchr;

/// The target that names the server and no resource (RFC 9112 section 3.2.4).
const ASTERISK: &str = "*";

/// The resource of a target. Borrows from the header, so that a plain request costs no copy.
#[derive(Debug)]
pub struct Resource<'a> {
    /// Decides the route and goes upstream.
    pub path: CanonicalPath<'a>,
    /// As the client sent it.
    raw_path: &'a str,
    /// As the client sent it, without `?`.
    query: Option<&'a str>,
    form: TargetForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TargetForm {
    Origin,
    Absolute,
}

/// Target of the request upstream: the canonical path that decided the route, in origin form.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestTarget {
    /// Same as the client's, of which the first `path_bytes` are the path.
    Unchanged { path_bytes: usize },
    /// Differs from the client's.
    Rewritten { target: String, path_bytes: usize },
}

impl RequestTarget {
    /// Returns the target of a request for the server itself, which never goes upstream.
    pub(crate) fn asterisk() -> Self {
        Self::Rewritten { target: ASTERISK.to_owned(), path_bytes: ASTERISK.len() }
    }

    /// Returns the canonical path, without its query.
    pub fn path<'a>(&'a self, client_target: &'a [u8]) -> &'a str {
        let (path, _) = self.split(client_target);
        std::str::from_utf8(path).unwrap_or_default()
    }

    /// Returns the canonical path, and what follows it: nothing, or `?` and the query.
    pub fn split<'a>(&'a self, client_target: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let (target, path_bytes) = match self {
            RequestTarget::Unchanged { path_bytes } => (client_target, *path_bytes),
            RequestTarget::Rewritten { target, path_bytes } => (target.as_bytes(), *path_bytes),
        };
        target.split_at_checked(path_bytes).unwrap_or_default()
    }
}

impl<'a> Resource<'a> {
    /// Parses a target in origin form, or in absolute form with the authority of the request. Its path may have some
    /// quirks.
    pub(crate) fn parse(target: &'a [u8], authority: &str, accepted: Quirks) -> Result<Self, ErrorCode> {
        let target = std::str::from_utf8(target).map_err(|_| ErrorCode::BadPath)?;
        if !has_target_characters(target) && !is_raw_path_accepted(target, accepted) {
            return Err(ErrorCode::BadPath);
        }
        let (origin_form, form) = split_form(target, authority)?;
        let query_at = memchr(b'?', origin_form.as_bytes());
        let (raw_path, query) =
            query_at.map_or((origin_form, None), |at| (&origin_form[..at], Some(&origin_form[at + 1..])));
        let path = CanonicalPath::parse_accepting(raw_path, accepted).map_err(path_error_code)?;
        Ok(Self { path, raw_path, query, form })
    }

    /// Returns the target of the request upstream, by the rules of its route.
    pub fn into_target(self, rules: &PathRules) -> RequestTarget {
        if self.form == TargetForm::Origin && self.path.is_unchanged() {
            return RequestTarget::Unchanged { path_bytes: self.raw_path.len() };
        }
        let path = self.path.for_upstream(self.raw_path, rules);
        let path_bytes = path.len();
        if self.form == TargetForm::Origin && path == self.raw_path {
            return RequestTarget::Unchanged { path_bytes };
        }
        let target = self.query.map_or_else(|| path.clone().into_owned(), |query| format!("{path}?{query}"));
        RequestTarget::Rewritten { target, path_bytes }
    }
}

/// Returns whether a text has characters of a target only.
fn has_target_characters(text: &str) -> bool {
    // Without a stop at the first other byte, so that the compiler tests many at a time.
    text.bytes().fold(true, |so_far, byte| so_far & byte.is_ascii_graphic() & (byte != b'#'))
}

/// Returns whether the other characters of a target are such outside ASCII, in a path that may have them.
#[cold]
fn is_raw_path_accepted(target: &str, accepted: Quirks) -> bool {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_raw_path = path.bytes().all(|byte| !byte.is_ascii() || byte.is_ascii_graphic() && byte != b'#');
    accepted.contains(Quirks::RAW_UTF8) && is_raw_path && has_target_characters(query)
}

/// Returns whether a request is `OPTIONS *`, or the same in absolute form: a URI that ends with its authority.
pub(crate) fn is_server_options(method: &Method, target: &[u8], authority: &str) -> bool {
    let target = std::str::from_utf8(target).unwrap_or_default();
    let is_server = without_scheme(target).map_or(target == ASTERISK, |rest| rest.eq_ignore_ascii_case(authority));
    *method == Method::OPTIONS && is_server
}

/// Returns the part of a target that is in origin form.
fn split_form<'a>(target: &'a str, authority: &str) -> Result<(&'a str, TargetForm), ErrorCode> {
    let Some(absolute) = without_scheme(target) else { return Ok((target, TargetForm::Origin)) };
    let end = absolute.find(['/', '?']).unwrap_or(absolute.len());
    if !absolute[..end].eq_ignore_ascii_case(authority) {
        return Err(ErrorCode::BadHost);
    }
    if !absolute[end..].starts_with('/') {
        return Err(ErrorCode::BadPath);
    }
    Ok((&absolute[end..], TargetForm::Absolute))
}

fn without_scheme(target: &str) -> Option<&str> {
    target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"))
}

fn path_error_code(error: PathError) -> ErrorCode {
    if error == PathError::TooLong { ErrorCode::UriTooLong } else { ErrorCode::BadPath }
}

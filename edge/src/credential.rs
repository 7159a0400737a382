//! Credentials in requests: where a route allows them, and one at most.

use std::borrow::Cow;

use gatepost_domain::denial::Denial;
use gatepost_domain::header_name::NormalizedHeaderName;
use gatepost_domain::key::MIN_KEY_BYTES;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::page_credentials::{cookies, parameters, protocols};
use crate::route_options::CredentialLocation;

/// The credential of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential<'a> {
    pub text: Cow<'a, str>,
    pub sender: CredentialSender,
}

/// Who has put a credential into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialSender {
    /// The program that makes the request, also as the script of a page.
    Client,
    /// The browser alone, whichever page makes the request: the credential is in a cookie only.
    Browser,
}

/// Returns the credential of a request, or none if no location has one.
///
/// # Errors
/// [`Denial::Ambiguous`] if a location occurs twice or two of them differ, [`Denial::Malformed`] if one is empty or
/// not UTF-8.
pub fn find<'a>(
    headers: &'a HeaderMap,
    target: &'a [u8],
    locations: &'a [CredentialLocation],
) -> Result<Option<Credential<'a>>, Denial> {
    let mut found: Option<Credential<'a>> = None;
    for location in locations {
        let (text, sender) = match location {
            CredentialLocation::Authorization => (bearer_field(headers)?.map(Cow::Borrowed), CredentialSender::Client),
            CredentialLocation::Header(name) => (field(headers, name)?.map(Cow::Borrowed), CredentialSender::Client),
            CredentialLocation::Query(name) => (single(parameters(target, name))?, CredentialSender::Client),
            CredentialLocation::Cookie(name) => {
                (single(cookies(headers, name).map(Cow::Borrowed))?, CredentialSender::Browser)
            }
            CredentialLocation::Protocol(prefix) => {
                (single(protocols(headers, prefix).map(Cow::Borrowed))?, CredentialSender::Client)
            }
        };
        let Some(text) = text else { continue };
        match &mut found {
            Some(other) if other.text != text => return Err(Denial::Ambiguous),
            Some(other) if sender == CredentialSender::Client => other.sender = sender,
            Some(_) => {}
            None => found = Some(Credential { text, sender }),
        }
    }
    Ok(found)
}

fn bearer_field(headers: &HeaderMap) -> Result<Option<&str>, Denial> {
    single_value(headers, &AUTHORIZATION)?.and_then(bearer).map(non_empty_text).transpose()
}

fn field<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Denial> {
    single_value(headers, name)?.map(non_empty_text).transpose()
}

/// Returns the only field of a name, or none if there is none.
fn single_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Denial> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() { Err(Denial::Ambiguous) } else { Ok(Some(value.as_bytes())) }
}

/// Returns the only value of a place in which pages put keys, or none if there is none.
fn single<'a>(mut values: impl Iterator<Item = Cow<'a, [u8]>>) -> Result<Option<Cow<'a, str>>, Denial> {
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Denial::Ambiguous);
    }
    Ok(Some(match first {
        Cow::Borrowed(bytes) => Cow::Borrowed(non_empty_text(bytes)?),
        Cow::Owned(bytes) => Cow::Owned(non_empty_text(&bytes)?.to_owned()),
    }))
}

/// Returns all values of at most `max_bytes` in headers that may hold a credential, in any spelling of their names.
/// Whether a value is valid does not matter.
pub fn presented<'a>(
    headers: &'a HeaderMap,
    names: &'a [NormalizedHeaderName],
    max_bytes: usize,
) -> impl Iterator<Item = &'a [u8]> {
    let is_credential_header = |name: &HeaderName| names.iter().any(|header| header.matches(name.as_str()));
    let values = headers.iter().filter(move |(name, _)| is_credential_header(name)).map(|(_, value)| value.as_bytes());
    let credentials = values.map(|value| bearer(value).unwrap_or(value));
    credentials.filter(move |credential| (MIN_KEY_BYTES..=max_bytes).contains(&credential.len()))
}

/// Returns the token after `Bearer` (RFC 6750 section 2.1; in any case, RFC 9110 section 11.1).
pub fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer") && rest.first().is_none_or(|byte| *byte == b' ');
    is_bearer.then(|| rest.trim_ascii())
}

fn non_empty_text(bytes: &[u8]) -> Result<&str, Denial> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty()).ok_or(Denial::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_headers::headers;

    fn check(fields: &[(&'static str, &str)], expected: Result<Option<&str>, Denial>) {
        let locations = [
            CredentialLocation::Authorization,
            CredentialLocation::Header(HeaderName::from_static("x-api-key")),
            CredentialLocation::Header(HeaderName::from_static("apikey")),
        ];
        let headers = headers(fields);
        let found = find(&headers, b"/", &locations).map(|found| found.map(|credential| credential.text.into_owned()));
        assert_eq!(found, expected.map(|text| text.map(str::to_owned)), "{fields:?}");
    }

    #[test]
    fn credentials_of_pages_are_found_where_the_route_looks_for_them() {
        use CredentialSender::{Browser, Client};
        let locations = [
            CredentialLocation::Authorization,
            CredentialLocation::Query("key".to_owned()),
            CredentialLocation::Cookie("session".to_owned()),
            CredentialLocation::Protocol("key.".to_owned()),
        ];
        for (target, fields, expected) in [
            ("/?a=1&key=k%311", &[][..], Ok(Some(("k11", Client)))),
            ("/?k%65y=k1", &[], Ok(Some(("k1", Client)))),
            ("/?KEY=k1", &[], Ok(None)),
            ("/key=k1", &[], Ok(None)),
            ("/?key=k1&key=k1", &[], Err(Denial::Ambiguous)),
            ("/?key=", &[], Err(Denial::Malformed)),
            ("/?key", &[], Err(Denial::Malformed)),
            ("/?key=%ff", &[], Err(Denial::Malformed)),
            ("/", &[("cookie", "a=b; session=k1;c=d")], Ok(Some(("k1", Browser)))),
            ("/", &[("cookie", "session=\"k1\"")], Ok(Some(("k1", Browser)))),
            ("/", &[("cookie", "Session=k1; xsession=k2")], Ok(None)),
            ("/", &[("cookie", "session=k1"), ("cookie", "session=k1")], Err(Denial::Ambiguous)),
            ("/", &[("cookie", "session=k1"), ("authorization", "Bearer k1")], Ok(Some(("k1", Client)))),
            ("/", &[("cookie", "session=k1"), ("authorization", "Bearer k2")], Err(Denial::Ambiguous)),
            ("/", &[("cookie", "session=")], Err(Denial::Malformed)),
            ("/", &[("sec-websocket-protocol", "chat, key.k1")], Ok(Some(("k1", Client)))),
            (
                "/",
                &[("sec-websocket-protocol", "chat"), ("sec-websocket-protocol", "key.k1")],
                Ok(Some(("k1", Client))),
            ),
            ("/", &[("sec-websocket-protocol", "key.k1, key.k2")], Err(Denial::Ambiguous)),
            ("/", &[("sec-websocket-protocol", "key.")], Err(Denial::Malformed)),
            ("/?key=k1", &[("sec-websocket-protocol", "key.k2")], Err(Denial::Ambiguous)),
        ] {
            let headers = headers(fields);
            let found = find(&headers, target.as_bytes(), &locations);
            let found = found.map(|found| found.map(|credential| (credential.text.into_owned(), credential.sender)));
            assert_eq!(
                found,
                expected.map(|found| found.map(|(text, sender)| (text.to_owned(), sender))),
                "{target} {fields:?}"
            );
        }
    }

    #[test]
    fn one_credential_is_found_and_two_must_be_equal() {
        check(&[], Ok(None));
        check(&[("authorization", "Bearer k1")], Ok(Some("k1")));
        check(&[("authorization", "bearer  k1 ")], Ok(Some("k1")));
        check(&[("authorization", "Basic abc")], Ok(None));
        check(&[("authorization", "Bearerk1")], Ok(None));
        check(&[("authorization", "Basic abc"), ("x-api-key", "k1")], Ok(Some("k1")));
        check(&[("authorization", "Bearer k1"), ("apikey", "k1")], Ok(Some("k1")));
        check(&[("authorization", "Bearer k1"), ("apikey", "k2")], Err(Denial::Ambiguous));
        check(&[("x-api-key", "k1"), ("x-api-key", "k1")], Err(Denial::Ambiguous));
        check(&[("authorization", "Bearer k1"), ("authorization", "Basic a")], Err(Denial::Ambiguous));
        check(&[("x-api-key", "")], Err(Denial::Malformed));
        check(&[("authorization", "Bearer")], Err(Denial::Malformed));
        check(&[("other", "k1")], Ok(None));
    }
}

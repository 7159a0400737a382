//! Credentials in requests: where a route allows them, and one at most.

use gatepost_domain::header_name::NormalizedHeaderName;
use gatepost_domain::key::MIN_KEY_BYTES;
use gatepost_domain::permit::Denial;
use http::{HeaderMap, HeaderName};

use crate::route_options::CredentialLocation;

/// Returns the credential of a request, or none if no location has one.
///
/// # Errors
/// [`Denial::Ambiguous`] if a location occurs twice or two of them differ, [`Denial::Malformed`] if one is empty or
/// not UTF-8.
pub fn find<'a>(headers: &'a HeaderMap, locations: &[CredentialLocation]) -> Result<Option<&'a str>, Denial> {
    let mut found = None;
    for location in locations {
        let Some(credential) = read_location(headers, location)? else { continue };
        if found.is_some_and(|other| other != credential) {
            return Err(Denial::Ambiguous);
        }
        found = Some(credential);
    }
    Ok(found)
}

fn read_location<'a>(headers: &'a HeaderMap, location: &CredentialLocation) -> Result<Option<&'a str>, Denial> {
    let mut values = headers.get_all(location.header_name()).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Denial::Ambiguous);
    }
    let credential = match location {
        CredentialLocation::Authorization => match bearer(value.as_bytes()) {
            Some(token) => token,
            None => return Ok(None),
        },
        CredentialLocation::Header(_) => value.as_bytes(),
    };
    non_empty_text(credential).map(Some)
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
        assert_eq!(find(&headers(fields), &locations), expected, "{fields:?}");
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

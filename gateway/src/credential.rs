//! Credentials in requests: found in the places that a route names, judged by the rule of one.

use gatepost_domain::header_name::NormalizedHeaderName;
use gatepost_domain::key::MIN_KEY_BYTES;
use gatepost_domain::permit::Denial;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::options::CredentialLocation;

/// The credential of a request; none if no place has one. A place that is there twice, or two places
/// that differ, are a denial.
pub(crate) fn find<'a>(headers: &'a HeaderMap, locations: &[CredentialLocation]) -> Result<Option<&'a str>, Denial> {
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
    let name = match location {
        CredentialLocation::Authorization => &AUTHORIZATION,
        CredentialLocation::Header(name) => name,
    };
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Denial::Ambiguous);
    }
    match location {
        CredentialLocation::Authorization if bearer(value.as_bytes()).is_none() => Ok(None),
        CredentialLocation::Authorization => non_empty_text(bearer(value.as_bytes()).unwrap_or_default()).map(Some),
        CredentialLocation::Header(_) => non_empty_text(value.as_bytes()).map(Some),
    }
}

/// All values of up to so many bytes that stand where a credential may, believed or not, in any spelling of the place.
pub(crate) fn presented<'a>(
    headers: &'a HeaderMap,
    names: &'a [NormalizedHeaderName],
    max_bytes: usize,
) -> impl Iterator<Item = &'a [u8]> {
    let is_credential_header = |name: &HeaderName| names.iter().any(|header| header.matches(name.as_str()));
    let values = headers.iter().filter(move |(name, _)| is_credential_header(name)).map(|(_, value)| value.as_bytes());
    let credentials = values.map(|value| bearer(value).unwrap_or(value));
    credentials.filter(move |credential| (MIN_KEY_BYTES..=max_bytes).contains(&credential.len()))
}

/// What follows `Bearer` (RFC 6750 section 2.1; the scheme in any case, RFC 9110 section 11.1).
pub(crate) fn bearer(value: &[u8]) -> Option<&[u8]> {
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

    fn check(headers: &[(&'static str, &'static str)], expected: Result<Option<&str>, Denial>) {
        let map: HeaderMap =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        let locations = [
            CredentialLocation::Authorization,
            CredentialLocation::Header(HeaderName::from_static("x-api-key")),
            CredentialLocation::Header(HeaderName::from_static("apikey")),
        ];
        assert_eq!(find(&map, &locations), expected, "{headers:?}");
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

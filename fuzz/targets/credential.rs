//! Fuzz target of credentials: what is found is in the request, and nowhere differently. Each line of the input is a
//! header.
#![no_main]

use gatepost_domain::header_name::NormalizedHeaderName;
use gatepost_domain::key::{ChecksumPolicy, MAX_KEY_BYTES, check_api_key};
use gatepost_edge::CredentialLocation;
use gatepost_edge::credential::{bearer, find, presented};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 3] = ["authorization", "x-api-key", "apikey"];

fuzz_target!(|input: &[u8]| {
    let headers: HeaderMap = input.split(|byte| *byte == b'\n').filter_map(parse_field).collect();
    let mut locations = [
        CredentialLocation::Authorization,
        CredentialLocation::Header(HeaderName::from_static("x-api-key")),
        CredentialLocation::Header(HeaderName::from_static("apikey")),
    ];
    let found = find(&headers, b"/", &locations).map(|found| found.map(|credential| credential.text.into_owned()));
    locations.reverse();
    let again = find(&headers, b"/", &locations).map(|found| found.map(|credential| credential.text.into_owned()));
    assert_eq!(again.ok(), found.clone().ok(), "the order of the locations decides");
    match found {
        Ok(Some(credential)) => check(&headers, &credential),
        Ok(None) => assert!(values(&headers).all(|(name, value)| name == NAMES[0] && bearer(value).is_none())),
        Err(_) => assert!(values(&headers).next().is_some(), "an error without a credential"),
    }
});

fn parse_field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
}

/// The headers in which a credential may be.
fn values(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    fields.filter(|(name, _)| NAMES.contains(name))
}

fn check(headers: &HeaderMap, credential: &str) {
    assert!(!credential.is_empty());
    let stated = values(headers).filter_map(|(name, value)| if name == NAMES[0] { bearer(value) } else { Some(value) });
    let stated: Vec<&[u8]> = stated.collect();
    assert!(
        !stated.is_empty() && stated.iter().all(|value| *value == credential.as_bytes()),
        "{credential:?} {stated:?}"
    );
    assert!(NAMES.iter().all(|name| headers.get_all(*name).iter().count() <= 1), "a location has two values");
    if check_api_key(credential, ChecksumPolicy::Lenient).is_ok() {
        let names = NAMES.map(NormalizedHeaderName::new);
        let mut presented = presented(headers, &names, MAX_KEY_BYTES);
        assert!(presented.any(|value| value == credential.as_bytes()), "{credential:?} is not masked in logs");
    }
}

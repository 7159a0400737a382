//! Credentials where browsers can put them: a parameter of the query, a cookie, a subprotocol of a WebSocket.
//!
//! They are found in the places that a route names, and removed from the request before it goes upstream.

use std::borrow::Cow;

use gatepost_domain::header_name::normalizes_to;
use http::header::{COOKIE, REFERER, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;
use percent_encoding::percent_decode;

use crate::route_options::CredentialLocation;

/// Places in requests where the credential of a route may be, apart from headers of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageCredentials {
    parameters: Vec<String>,
    cookies: Vec<String>,
    protocol_prefixes: Vec<String>,
}

impl PageCredentials {
    pub(crate) fn of(locations: &[CredentialLocation]) -> Self {
        let mut places = Self::default();
        for location in locations {
            match location {
                CredentialLocation::Query(name) => places.parameters.push(name.clone()),
                CredentialLocation::Cookie(name) => places.cookies.push(name.clone()),
                CredentialLocation::Protocol(prefix) => places.protocol_prefixes.push(prefix.clone()),
                CredentialLocation::Authorization | CredentialLocation::Header(_) => {}
            }
        }
        places
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.parameters.extend_from_slice(&other.parameters);
        self.cookies.extend_from_slice(&other.cookies);
        self.protocol_prefixes.extend_from_slice(&other.protocol_prefixes);
    }

    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty() && self.cookies.is_empty() && self.protocol_prefixes.is_empty()
    }

    /// Returns all values in these places, valid or not. A caller that has none of them need not ask.
    pub fn values(&self, headers: &HeaderMap, target: &[u8]) -> Vec<Vec<u8>> {
        let parameters = self.parameters.iter().flat_map(|name| parameters(target, name));
        let cookies = self.cookies.iter().flat_map(|name| cookies(headers, name));
        let protocols = self.protocol_prefixes.iter().flat_map(|prefix| protocols(headers, prefix));
        parameters.map(Cow::into_owned).chain(cookies.chain(protocols).map(<[u8]>::to_vec)).collect()
    }

    /// Removes the credentials from `?` and a query, or returns none if they have none.
    pub fn without_parameters(&self, query: &[u8]) -> Option<Vec<u8>> {
        let pairs = query.strip_prefix(b"?")?;
        let is_credential = |pair: &&[u8]| self.parameters.iter().any(|name| decoded_name(pair) == name.as_bytes());
        if self.parameters.is_empty() || !split(pairs, b'&').any(|pair| is_credential(&pair)) {
            return None;
        }
        let left: Vec<&[u8]> = split(pairs, b'&').filter(|pair| !is_credential(pair)).collect();
        Some(if left.is_empty() { Vec::new() } else { [b"?".as_slice(), &left.join(&b'&')].concat() })
    }

    /// Removes the credentials from the headers of a request. `Referer` may have them in its query.
    pub fn remove_from(&self, headers: &mut HeaderMap) {
        if !self.cookies.is_empty() {
            let is_credential = |pair: &[u8]| self.cookies.iter().any(|name| cookie_value(pair, name).is_some());
            retain_items(headers, &COOKIE, b';', b"; ", |pair| !is_credential(pair));
        }
        if !self.protocol_prefixes.is_empty() {
            let is_credential =
                |item: &[u8]| self.protocol_prefixes.iter().any(|prefix| item.starts_with(prefix.as_bytes()));
            retain_items(headers, &SEC_WEBSOCKET_PROTOCOL, b',', b", ", |item| !is_credential(item));
            remove_other_spellings(headers, &SEC_WEBSOCKET_PROTOCOL);
        }
        let referer = headers.get(REFERER).and_then(|referer| {
            let bytes = referer.as_bytes();
            let (page, query) = bytes.split_at(memchr(b'?', bytes)?);
            HeaderValue::from_bytes(&[page, &self.without_parameters(query)?].concat()).ok()
        });
        if let Some(referer) = referer {
            headers.insert(REFERER, referer);
        }
    }
}

/// Returns the decoded values of a parameter in the query of a target.
pub(crate) fn parameters<'a>(target: &'a [u8], name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let query = memchr(b'?', target).map_or(&[][..], |at| &target[at + 1..]);
    let pairs = split(query, b'&').filter(move |pair| decoded_name(pair) == name.as_bytes());
    pairs.map(|pair| memchr(b'=', pair).map_or(Cow::Borrowed(&[][..]), |at| percent_decode(&pair[at + 1..]).into()))
}

/// Returns the values of a cookie.
pub(crate) fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    items(headers, &COOKIE, b';').filter_map(move |pair| cookie_value(pair, name))
}

/// Returns the rest of each subprotocol that starts with a prefix.
pub(crate) fn protocols<'a>(headers: &'a HeaderMap, prefix: &'a str) -> impl Iterator<Item = &'a [u8]> {
    items(headers, &SEC_WEBSOCKET_PROTOCOL, b',').filter_map(move |item| item.strip_prefix(prefix.as_bytes()))
}

fn items<'a>(headers: &'a HeaderMap, name: &HeaderName, separator: u8) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(move |value| split(value.as_bytes(), separator)).map(<[u8]>::trim_ascii)
}

fn split(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    bytes.split(move |byte| *byte == separator)
}

/// Returns the value of a pair if it is a cookie of this name, without the quotes around it.
fn cookie_value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (found, value) = pair.split_at_checked(memchr(b'=', pair)?)?;
    let value = value[1..].trim_ascii();
    let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    (found.trim_ascii() == name.as_bytes()).then(|| unquoted.unwrap_or(value))
}

fn decoded_name(pair: &[u8]) -> Cow<'_, [u8]> {
    percent_decode(&pair[..memchr(b'=', pair).unwrap_or(pair.len())]).into()
}

/// Keeps the items of a list that `is_kept` selects, in one field; none if no item is left.
fn retain_items(
    headers: &mut HeaderMap,
    name: &HeaderName,
    separator: u8,
    joined_by: &[u8],
    is_kept: impl Fn(&[u8]) -> bool,
) {
    if items(headers, name, separator).all(&is_kept) {
        return;
    }
    let left: Vec<&[u8]> = items(headers, name, separator).filter(|item| is_kept(item)).collect();
    let value = if left.is_empty() { None } else { HeaderValue::from_bytes(&left.join(joined_by)).ok() };
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}

/// Removes the fields that servers read as one of this name although they are spelt differently.
fn remove_other_spellings(headers: &mut HeaderMap, name: &HeaderName) {
    let is_other = |found: &&HeaderName| *found != name && normalizes_to(found.as_str(), name.as_str());
    let others: Vec<HeaderName> = headers.keys().filter(is_other).cloned().collect();
    for other in others {
        headers.remove(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_headers::headers;

    fn places() -> PageCredentials {
        PageCredentials::of(&[
            CredentialLocation::Query("key".to_owned()),
            CredentialLocation::Cookie("session".to_owned()),
            CredentialLocation::Protocol("key.".to_owned()),
        ])
    }

    #[test]
    fn a_parameter_is_removed_in_every_spelling_and_the_others_stay() {
        for (query, expected) in [
            ("", None),
            ("?", None),
            ("?a=1&keys=2&KEY=3", None),
            ("?key=k", Some("")),
            ("?key", Some("")),
            ("?a=1&key=k&b=%20&k%65y=l&&c", Some("?a=1&b=%20&&c")),
            ("?a=key=k", None),
        ] {
            let left = places().without_parameters(query.as_bytes());
            assert_eq!(left.as_deref(), expected.map(str::as_bytes), "{query}");
        }
        assert_eq!(PageCredentials::default().without_parameters(b"?key=k"), None);
    }

    #[test]
    fn all_values_are_found_and_removed() {
        let mut fields = headers(&[
            ("cookie", "a=1; session=k1"),
            ("cookie", "session=\"k2\"; b=2"),
            ("sec-websocket-protocol", "chat, key.k3"),
            ("sec_websocket_protocol", "key.k4"),
            ("referer", "https://a.example/page?key=k5&x=1"),
            ("x-other", "session=k6"),
        ]);
        let values = places().values(&fields, b"/x?key=k%30&y&key");
        assert_eq!(values, [b"k0".as_slice(), b"", b"k1", b"k2", b"k3"]);
        places().remove_from(&mut fields);
        let mut left: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        let expected = [
            ("cookie", "a=1; b=2"),
            ("referer", "https://a.example/page?x=1"),
            ("sec-websocket-protocol", "chat"),
            ("x-other", "session=k6"),
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn a_field_without_anything_left_is_removed() {
        let mut fields = headers(&[("cookie", "session=k1"), ("sec-websocket-protocol", "key.k2")]);
        places().remove_from(&mut fields);
        assert!(fields.is_empty(), "{fields:?}");
        let untouched = headers(&[("cookie", "a=1;  b=2"), ("sec-websocket-protocol", "chat,superchat")]);
        let mut fields = untouched.clone();
        places().remove_from(&mut fields);
        assert_eq!(fields, untouched);
    }
}

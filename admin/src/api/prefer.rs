//! `Prefer` (RFC 7240): optional preferences of a client.

use gatepost_control_plane::UnknownMembers;
use http::{HeaderMap, HeaderName};

pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Returns the value of a preference: the first one if it is repeated (RFC 7240 section 2).
pub(crate) fn preference<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(PREFER).iter().filter_map(|field| field.to_str().ok());
    let mut values = fields.flat_map(split_preferences).filter_map(|preference| {
        let (found, value) = preference.split(';').next()?.split_once('=')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    });
    values.next()
}

/// Returns the handling of unknown members that a request prefers; `None` if it states no preference.
pub(crate) fn unknown_members_preference(headers: &HeaderMap) -> Option<UnknownMembers> {
    match preference(headers, "handling")? {
        "lenient" => Some(UnknownMembers::Ignore),
        "strict" => Some(UnknownMembers::Refuse),
        _ => None,
    }
}

/// Splits a field at its commas, except those within quotes.
fn split_preferences(field: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    field.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_is_found_among_others() {
        for (fields, wait) in [
            (&["wait=5"][..], Some("5")),
            (&["respond-async, Wait = \"7\"; x=1"], Some("7")),
            (&["wait=1, wait=2"], Some("1")),
            (&["x=\"a,wait=3\", wait=4"], Some("4")),
            (&["return=minimal", "wait=6"], Some("6")),
            (&["wait"], None),
            (&["waiting=5"], None),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(PREFER, field.parse().unwrap());
            }
            assert_eq!(preference(&headers, "wait"), wait, "{fields:?}");
        }
    }
}

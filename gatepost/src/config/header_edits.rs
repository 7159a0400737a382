//! Tables `request_headers` and `response_headers` of a route.

use gatepost_gateway::{HeaderEdits, ParseHeaderNameError};
use http::{HeaderName, HeaderValue};

use super::reader::Section;

/// Maximum of names that one table edits.
const MAX_EDITS: usize = 64;
/// Maximum size of a value.
const MAX_VALUE_BYTES: usize = 4096;

/// A field that cannot be set. The text follows its name.
#[derive(Debug, thiserror::Error)]
enum ParseFieldError {
    #[error(transparent)]
    Name(#[from] ParseHeaderNameError),
    #[error("must have a value of visible ASCII characters and spaces, {MAX_VALUE_BYTES} at most")]
    Value,
}

/// A name that cannot be removed.
#[derive(Debug, thiserror::Error)]
#[error("{name:?}")]
struct RemoveError {
    name: String,
    source: ParseHeaderNameError,
}

/// Reads a table of edits. `parse_name` says which names they may have.
pub(super) fn read(
    section: Option<Section<'_>>,
    parse_name: impl Fn(&str) -> Result<HeaderName, ParseHeaderNameError>,
) -> HeaderEdits {
    let Some(mut section) = section else { return HeaderEdits::default() };
    let edits = HeaderEdits {
        set: section.named_texts("set", |name, value| {
            let name = parse_name(name)?;
            parse_value(value).map(|value| (name, value))
        }),
        remove: section.list("remove", Vec::new(), |name| {
            parse_name(name).map_err(|source| RemoveError { name: name.to_owned(), source })
        }),
    };
    for (number, name) in edits.names().enumerate() {
        if edits.names().take(number).any(|earlier| earlier == name) {
            section.error_here(&format!("edits {name} twice"));
        }
    }
    if edits.names().count() > MAX_EDITS {
        section.error_here(&format!("edits more than {MAX_EDITS} names"));
    }
    section.reject_unknown_keys();
    edits
}

fn parse_value(text: &str) -> Result<HeaderValue, ParseFieldError> {
    let value = HeaderValue::from_str(text).ok().filter(|value| value.len() <= MAX_VALUE_BYTES);
    value.ok_or(ParseFieldError::Value)
}

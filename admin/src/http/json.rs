//! Parsing JSON. Values that could not be stored exactly as they were sent are refused.

use std::collections::BTreeMap;

use gatepost_control_plane::Failure;
use gatepost_domain::problem::ErrorCode;
use serde_json::Value;
use serde_json::value::RawValue;

use super::member_types::{Step, path_text};

/// The byte order mark that some programs put before UTF-8. It is not part of the JSON (RFC 8259 section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The prefix of names to which the JSON library gives a special meaning.
const PRIVATE_NAME_PREFIX: &str = "$serde_json::private::";
/// Nesting levels of lists and objects.
const MAX_DEPTH: usize = 100;
/// Digits of a number that an error repeats.
const MAX_SHOWN_DIGITS: usize = 40;

/// Why JSON is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    /// The message ends with line and column.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    #[error("more than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("{0}: is no name that a member may have")]
    Name(String),
    /// A whole number that would lose digits.
    #[error("{}: {digits} is too large to be stored exactly; send it as a string", path_text(.path))]
    Number { path: Vec<Step>, digits: String },
}

impl JsonError {
    /// Adds the step that leads to the value in which the error is.
    fn below(mut self, step: impl FnOnce() -> Step) -> Self {
        if let JsonError::Number { path, .. } = &mut self {
            path.insert(0, step());
        }
        self
    }
}

impl From<JsonError> for Failure {
    fn from(error: JsonError) -> Self {
        let code = match error {
            JsonError::Syntax(_) | JsonError::TooDeep => ErrorCode::InvalidJson,
            JsonError::Name(_) | JsonError::Number { .. } => ErrorCode::Validation,
        };
        Failure::refused(code, error.to_string())
    }
}

/// Removes a byte order mark.
pub(crate) fn strip_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Parses JSON.
///
/// # Errors
/// If the text is not valid JSON, or has integers that would lose digits, more than 100 levels, or member names with a
/// special meaning to the JSON library.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let raw: &RawValue = serde_json::from_slice(strip_byte_order_mark(bytes))?;
    check_value(raw, 0)?;
    Ok(serde_json::from_str(raw.get())?)
}

fn check_value(raw: &RawValue, depth: usize) -> Result<(), JsonError> {
    if depth > MAX_DEPTH {
        return Err(JsonError::TooDeep);
    }
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            members.iter().try_for_each(|(name, value)| {
                check_name(name)?;
                check_value(value, depth + 1).map_err(|error| error.below(|| Step::Member(name.clone())))
            })
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(text)?;
            values.into_iter().enumerate().try_for_each(|(index, value)| {
                check_value(value, depth + 1).map_err(|error| error.below(|| Step::Item(index)))
            })
        }
        Some(b'-' | b'0'..=b'9') => check_number(text),
        _ => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), JsonError> {
    if name.starts_with(PRIVATE_NAME_PREFIX) {
        return Err(JsonError::Name(name.to_owned()));
    }
    Ok(())
}

/// Refuses integers that would lose digits, as they are often ids. Fractions are rounded, as every JSON parser does.
fn check_number(text: &str) -> Result<(), JsonError> {
    let is_whole = !text.contains(['.', 'e', 'E']);
    if is_whole && text.parse::<u64>().is_err() && text.parse::<i64>().is_err() {
        return Err(JsonError::Number { path: Vec::new(), digits: text.chars().take(MAX_SHOWN_DIGITS).collect() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn json_is_read_with_a_byte_order_mark_and_without() {
        assert_eq!(parse(b"\xef\xbb\xbf{\"a\": [1]}").unwrap(), json!({"a": [1]}));
        assert_eq!(parse(b" null ").unwrap(), Value::Null);
        assert!(refusal("\u{feff}\u{feff}{}").contains("line 1"));
    }

    #[test]
    fn numbers_that_would_lose_digits_are_refused_at_any_depth() {
        assert_eq!(
            parse(b"[18446744073709551615, -9223372036854775808, 0.1, 1e300]").unwrap(),
            json!([u64::MAX, i64::MIN, 0.1, 1e300])
        );
        for text in
            ["18446744073709551616", "-9223372036854775809", "{\"a\": [{\"b\": 123456789012345678901234567890}]}"]
        {
            assert!(refusal(text).contains("send it as a string"), "{text}");
        }
        let nested = "{\"a\": [0, {\"b\": 18446744073709551616}]}";
        assert!(refusal(nested).starts_with("a[1].b: 18446744073709551616 is too large"), "{}", refusal(nested));
    }

    #[test]
    fn names_of_the_library_have_no_meaning_and_depth_is_bounded() {
        for name in ["$serde_json::private::RawValue", "\\u0024serde_json::private::Number"] {
            assert!(refusal(&format!("{{\"a\": [{{\"{name}\": \"1\"}}]}}")).contains("no name"), "{name}");
        }
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(refusal(&nested(20_000)).contains("levels"));
    }
}

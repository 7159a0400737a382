//! Parsing JSON. Values that could not be stored exactly as they were sent are refused.

use std::collections::BTreeMap;

use gatepost_control_plane::Failure;
use gatepost_domain::problem::ErrorCode;
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

/// The byte order mark that some programs put before UTF-8. It is not part of the JSON (RFC 8259 section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The prefix of names to which the JSON library gives a special meaning.
const PRIVATE_NAME_PREFIX: &str = "$serde_json::private::";
/// Nesting levels of lists and objects.
const MAX_DEPTH: usize = 100;

/// Removes a byte order mark.
pub(crate) fn strip_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Parses JSON.
///
/// # Errors
/// If the text is not valid JSON, or has integers that would lose digits, more than 100 levels, or member names with a
/// special meaning to the JSON library.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Failure> {
    let raw: &RawValue = serde_json::from_slice(strip_byte_order_mark(bytes)).map_err(|error| parse_failure(&error))?;
    check_value(raw, 0)?;
    serde_json::from_str(raw.get()).map_err(|error| parse_failure(&error))
}

/// Returns the refusal of invalid JSON or of a value with a wrong type. The message ends with line and column.
pub(crate) fn parse_failure(error: &serde_json::Error) -> Failure {
    let code = match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => ErrorCode::InvalidJson,
        Category::Data => ErrorCode::Validation,
    };
    Failure::refused(code, error.to_string())
}

fn check_value(raw: &RawValue, depth: usize) -> Result<(), Failure> {
    if depth > MAX_DEPTH {
        return Err(Failure::refused(ErrorCode::InvalidJson, format!("more than {MAX_DEPTH} levels")));
    }
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> =
                serde_json::from_str(text).map_err(|error| parse_failure(&error))?;
            members.iter().try_for_each(|(name, value)| {
                check_name(name)?;
                check_value(value, depth + 1)
            })
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| parse_failure(&error))?;
            values.into_iter().try_for_each(|value| check_value(value, depth + 1))
        }
        Some(b'-' | b'0'..=b'9') => check_number(text),
        _ => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    if name.starts_with(PRIVATE_NAME_PREFIX) {
        return Err(Failure::invalid(format!("{name}: is no name that a member may have")));
    }
    Ok(())
}

/// Refuses integers that would lose digits, as they are often ids. Fractions are rounded, as every JSON parser does.
fn check_number(text: &str) -> Result<(), Failure> {
    let is_whole = !text.contains(['.', 'e', 'E']);
    if is_whole && text.parse::<u64>().is_err() && text.parse::<i64>().is_err() {
        let digits: String = text.chars().take(40).collect();
        return Err(Failure::invalid(format!("{digits}: is too large to be stored exactly; send it as a string")));
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

//! JSON as it comes in: what could not be kept as it was sent is refused.

use std::collections::BTreeMap;

use gatepost_control_plane::Failure;
use gatepost_domain::problem::ErrorCode;
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

/// What some programs put before text to say that it is UTF-8. It is no part of the JSON (RFC 8259 section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How names begin to which the JSON library gives a meaning of its own.
const PRIVATE_NAME_PREFIX: &str = "$serde_json::private::";
/// Lists and objects within each other.
const MAX_DEPTH: usize = 100;

/// Leaves out a byte order mark.
pub(crate) fn strip_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Reads JSON.
///
/// # Errors
/// If it is none; and where it has whole numbers that would lose digits, more than 100 levels, or member names that
/// mean something to the JSON library.
pub fn parse(bytes: &[u8]) -> Result<Value, Failure> {
    let raw: &RawValue = serde_json::from_slice(strip_byte_order_mark(bytes)).map_err(|error| parse_failure(&error))?;
    check_value(raw, 0)?;
    serde_json::from_str(raw.get()).map_err(|error| parse_failure(&error))
}

/// The refusal of what is no JSON, or not of the right kind. The library tells line and column at the end of its message.
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

/// Fractions are rounded as everybody does who reads JSON; a whole number is an id more often than not.
fn check_number(text: &str) -> Result<(), Failure> {
    let is_whole = !text.contains(['.', 'e', 'E']);
    if is_whole && text.parse::<u64>().is_err() && text.parse::<i64>().is_err() {
        let digits: String = text.chars().take(40).collect();
        return Err(Failure::invalid(format!("{digits}: is too large a number to be kept; send it as a string")));
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

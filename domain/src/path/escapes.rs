//! Percent escapes of a path: their check and their canonical form.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::error::PathError;
use super::rules::Tolerance;

/// Length of an escape: `%` and two hex digits.
pub(super) const ESCAPE_BYTES: usize = 3;

pub(super) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Normalizes every escape. Allocates only if one of them is not canonical.
pub(super) fn canonical_escapes<'a>(raw_path: &'a str, tolerance: &mut Tolerance) -> Result<Cow<'a, str>, PathError> {
    let canonical = match check_escapes(raw_path, tolerance)? {
        Escapes::Canonical => Cow::Borrowed(raw_path),
        Escapes::Equivalent => rewrite_escapes(raw_path),
    };
    // Hex digits are unreserved and decoded by now, so `%25%32%65` has become `%252e`.
    if canonical.split("%25").skip(1).any(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
    {
        return Err(PathError::DoubleEncoding);
    }
    Ok(canonical)
}

/// Form of a path's escapes, all of which are acceptable.
enum Escapes {
    /// Upper case, and no escape of an unreserved character.
    Canonical,
    /// At least one escape has a canonical form with the same meaning.
    Equivalent,
}

fn check_escapes(raw_path: &str, tolerance: &mut Tolerance) -> Result<Escapes, PathError> {
    let bytes = raw_path.as_bytes();
    let mut escapes = Escapes::Canonical;
    let mut at = 0;
    while let Some(escape_at) = bytes.iter().skip(at).position(|byte| *byte == b'%').map(|offset| at + offset) {
        let byte = escaped_byte(bytes, escape_at)?;
        let checked = if byte.is_ascii() { check_ascii(byte) } else { check_character(bytes, escape_at) };
        let escaped_bytes = match checked {
            Ok(count) => count,
            Err(error) if is_overlong(bytes, escape_at) => return Err(error),
            Err(error) => tolerance.note(error).map(|()| 1)?,
        };
        at = escape_at + escaped_bytes * ESCAPE_BYTES;
        if is_unreserved(byte) || raw_path[escape_at..at].bytes().any(|byte| byte.is_ascii_lowercase()) {
            escapes = Escapes::Equivalent;
        }
    }
    Ok(escapes)
}

/// Decodes the escape at `at`.
pub(super) fn escaped_byte(bytes: &[u8], at: usize) -> Result<u8, PathError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    match bytes.get(at..at + ESCAPE_BYTES) {
        Some([b'%', high, low]) => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Ok(high << 4 | low),
            (None, _) | (_, None) => Err(PathError::MalformedEscape),
        },
        _ => Err(PathError::MalformedEscape),
    }
}

/// Checks an escaped ASCII character. Returns the number of its escapes, which is one.
fn check_ascii(byte: u8) -> Result<usize, PathError> {
    match byte {
        b'/' => Err(PathError::EncodedSlash),
        b'\\' => Err(PathError::Backslash),
        b';' => Err(PathError::PathParameter),
        _ if byte.is_ascii_control() => Err(PathError::EncodedControl),
        _ => Ok(1),
    }
}

/// Checks the escaped non-ASCII character that starts at `at`. Returns the number of its escapes.
fn check_character(bytes: &[u8], at: usize) -> Result<usize, PathError> {
    let width = match escaped_byte(bytes, at)? {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return Err(PathError::NotUtf8),
    };
    let mut buffer = [0_u8; 4];
    for (index, slot) in buffer.iter_mut().take(width).enumerate() {
        *slot = match bytes.get(at + index * ESCAPE_BYTES) {
            Some(b'%') => escaped_byte(bytes, at + index * ESCAPE_BYTES)?,
            Some(_) | None => return Err(PathError::NotUtf8),
        };
    }
    let character = std::str::from_utf8(&buffer[..width]).map_err(|_| PathError::NotUtf8)?;
    if character.chars().any(char::is_control) { Err(PathError::EncodedControl) } else { Ok(width) }
}

/// Returns whether the escapes at `at` are an overlong form, as which lenient decoders accept a shorter character: no
/// rule accepts one.
fn is_overlong(bytes: &[u8], at: usize) -> bool {
    match (escaped_byte(bytes, at), escaped_byte(bytes, at + ESCAPE_BYTES)) {
        (Ok(0xC0 | 0xC1), Ok(0x80..=0xBF)) | (Ok(0xE0), Ok(0x80..=0x9F)) | (Ok(0xF0), Ok(0x80..=0x8F)) => true,
        (Ok(_) | Err(_), _) => false,
    }
}

/// Returns a path with all escapes in their canonical form. They must be well-formed.
pub(super) fn rewrite_escapes(raw_path: &str) -> Cow<'_, str> {
    if !raw_path.contains('%') {
        return Cow::Borrowed(raw_path);
    }
    let mut canonical = String::with_capacity(raw_path.len());
    let mut rest = raw_path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        let Some((escape, after)) = escape.split_at_checked(ESCAPE_BYTES) else { break };
        canonical.push_str(before);
        match escaped_byte(escape.as_bytes(), 0) {
            Ok(byte) if is_unreserved(byte) => canonical.push(char::from(byte)),
            Ok(_) | Err(_) => canonical.push_str(&escape.to_ascii_uppercase()),
        }
        rest = after;
    }
    canonical.push_str(rest);
    Cow::Owned(canonical)
}

/// Escapes the characters that a path cannot have: some visible ones of ASCII, and all outside.
pub(super) fn encode_raw(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len() + ESCAPE_BYTES);
    for byte in path.bytes() {
        if matches!(byte, b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80..) {
            // Writing to memory does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        } else {
            encoded.push(char::from(byte));
        }
    }
    encoded
}

/// Decodes the escapes of the bytes that `is_decoded` selects, once.
pub(super) fn decode(bytes: &[u8], is_decoded: impl Fn(u8) -> bool) -> Vec<u8> {
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match escaped_byte(bytes, at) {
            Ok(escaped) if is_decoded(escaped) => {
                decoded.push(escaped);
                at += ESCAPE_BYTES;
            }
            Ok(_) | Err(_) => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

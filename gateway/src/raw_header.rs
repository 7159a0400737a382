//! Lines and framing of an HTTP/1 header by its bytes as they came (RFC 9112): the parser behind them tolerates and
//! repairs what other servers read differently.

use gatepost_edge::{BodyLength, MessageError};
use http::Version;
use memchr::memchr2;

/// Every line ends with CR LF, and none begins with a space.
pub(crate) fn check_lines(raw: &[u8]) -> Result<(), MessageError> {
    let mut rest = raw;
    while let Some(first) = rest.first() {
        let end = memchr2(b'\r', b'\n', rest).ok_or(MessageError::MalformedLine)?;
        let next = rest[end..].strip_prefix(b"\r\n").ok_or(MessageError::MalformedLine)?;
        if matches!(first, b' ' | b'\t') {
            return Err(MessageError::MalformedLine);
        }
        rest = next;
    }
    Ok(())
}

/// Requires no `Transfer-Encoding` or exactly `chunked`, no `Content-Length` or one of digits, and never both. Reads
/// the bytes, since the parser drops a `Content-Length` next to a `Transfer-Encoding`.
pub(crate) fn body_length(version: Version, raw: &[u8]) -> Result<BodyLength, MessageError> {
    let mut encodings = raw_field_values(raw, b"transfer-encoding");
    let mut lengths = raw_field_values(raw, b"content-length");
    match (encodings.next(), lengths.next()) {
        (None, None) => Ok(BodyLength::EMPTY),
        (Some(_), Some(_)) => Err(MessageError::InvalidFraming),
        (Some(_), None) if version == Version::HTTP_10 => Err(MessageError::InvalidFraming),
        (Some(encoding), None) if encoding.eq_ignore_ascii_case(b"chunked") && encodings.next().is_none() => {
            Ok(BodyLength::Unknown)
        }
        (Some(_), None) => Err(MessageError::UnsupportedTransferEncoding),
        (None, Some(length)) if lengths.next().is_none() => {
            parse_content_length(length).map(BodyLength::Known).ok_or(MessageError::InvalidFraming)
        }
        (None, Some(_)) => Err(MessageError::InvalidFraming),
    }
}

/// Returns the values of the raw header's fields of one name, which is in lower case.
fn raw_field_values<'a>(raw: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    raw.split(|byte| *byte == b'\n').skip(1).filter_map(move |line| {
        let (found, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// Parses digits alone.
pub(crate) fn parse_content_length(text: &[u8]) -> Option<u64> {
    // 18 digits fit a u64, with room for any sum.
    let is_plain = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_plain)?.parse().ok()
}

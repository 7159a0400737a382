//! End of an HTTP/1 header, and the checks of its bytes as they came (RFC 9112): the parser behind them tolerates and
//! repairs what other servers read differently.

use gatepost_edge::{BodyLength, MessageError};
use http::Version;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use memchr::memchr2;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use crate::header_state::HeaderState;

/// A request line that no guard has seen, or that was not in the strict form of RFC 9112 section 3.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidRequestLine;

/// Ends the header of an HTTP/1 request, and returns the state of its connection.
pub(crate) fn finish(session: &ServerSession) -> Result<&HeaderState, InvalidRequestLine> {
    let state = HeaderState::of(session.digest()).ok_or(InvalidRequestLine)?;
    state.mark_header_read();
    if state.is_request_line_valid() { Ok(state) } else { Err(InvalidRequestLine) }
}

/// Checks the lines and the framing of a header by its bytes.
pub(crate) fn check(request: &RequestHeader, raw: &[u8]) -> Result<BodyLength, MessageError> {
    check_lines(raw)?;
    body_length(request, raw)
}

/// Every line ends with CR LF, and none begins with a space.
fn check_lines(raw: &[u8]) -> Result<(), MessageError> {
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
fn body_length(request: &RequestHeader, raw: &[u8]) -> Result<BodyLength, MessageError> {
    if !request.headers.contains_key(TRANSFER_ENCODING) && !request.headers.contains_key(CONTENT_LENGTH) {
        return Ok(BodyLength::EMPTY);
    }
    let mut encodings = raw_field_values(raw, b"transfer-encoding");
    let mut lengths = raw_field_values(raw, b"content-length");
    match (encodings.next(), lengths.next()) {
        (None, None) => Ok(BodyLength::EMPTY),
        (Some(_), Some(_)) => Err(MessageError::InvalidFraming),
        (Some(_), None) if request.version == Version::HTTP_10 => Err(MessageError::InvalidFraming),
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

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use crate::header_guard::GuardedStream;

    async fn send(bytes: &[u8]) -> (DuplexStream, DuplexStream) {
        let (mut client, server) = duplex(4096);
        client.write_all(bytes).await.unwrap();
        (client, server)
    }

    #[tokio::test]
    async fn http1_request_line_is_checked_by_a_guard_that_any_task_finds() {
        for (line, expected) in [("GET / HTTP/1.1", true), ("GET  / HTTP/1.1", false)] {
            let (_client, server) = send(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).await;
            let mut session =
                ServerSession::new_http1(Box::new(GuardedStream::new(Box::new(server), Duration::from_secs(60))));
            let _ = session.read_request().await;
            let is_accepted = tokio::spawn(async move { finish(&session).is_ok() });
            assert_eq!(is_accepted.await.unwrap(), expected, "{line}");
        }
    }

    #[tokio::test]
    async fn http1_request_without_a_guard_is_rejected() {
        let (_client, server) = send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let session = ServerSession::new_http1(Box::new(server));
        assert_eq!(finish(&session).err(), Some(InvalidRequestLine));
    }
}

//! End of an HTTP/1 header, and the checks of its bytes as they came.

use gatepost_edge::{BodyLength, MessageError};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use crate::header_state::HeaderState;
use crate::raw_header;

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
    raw_header::check_lines(raw)?;
    if !request.headers.contains_key(TRANSFER_ENCODING) && !request.headers.contains_key(CONTENT_LENGTH) {
        return Ok(BodyLength::EMPTY);
    }
    raw_header::body_length(request.version, raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use crate::header_guard::GuardedStream;
    use crate::websocket_end::GoingAway;

    async fn send(bytes: &[u8]) -> (DuplexStream, DuplexStream) {
        let (mut client, server) = duplex(4096);
        client.write_all(bytes).await.unwrap();
        (client, server)
    }

    #[tokio::test]
    async fn http1_request_line_is_checked_by_a_guard_that_any_task_finds() {
        for (line, expected) in [("GET / HTTP/1.1", true), ("GET  / HTTP/1.1", false)] {
            let (_client, server) = send(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).await;
            let mut session = ServerSession::new_http1(Box::new(GuardedStream::new(
                Box::new(server),
                None,
                None,
                Duration::from_secs(60),
                GoingAway::default(),
            )));
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

//! End of an HTTP/1 header: the only place where the bytes on the wire decide about a request.

use gatepost_domain::problem::ErrorCode;
use pingora::protocols::http::ServerSession;

use crate::header_state::HeaderState;

/// Ends the header of an HTTP/1 request, and returns the state of its connection. HTTP/2 has none: its decoder delimits
/// messages, so that there are no lines to check.
///
/// # Errors
/// [`ErrorCode::BadRequest`] if the request line was not in the strict form, or no guard has seen it.
pub(crate) fn finish(session: &ServerSession) -> Result<Option<&HeaderState>, ErrorCode> {
    if session.is_http2() {
        return Ok(None);
    }
    let state = HeaderState::of(session.digest()).ok_or(ErrorCode::BadRequest)?;
    state.mark_header_read();
    if state.is_request_line_valid() { Ok(Some(state)) } else { Err(ErrorCode::BadRequest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;
    use std::time::Duration;

    use pingora::protocols::Digest;
    use pingora::protocols::http::v2::server::{H2Accept, HttpSession, handshake};
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use crate::header_guard::GuardedStream;

    /// Preface, SETTINGS, and `GET / ` of `http://a` as one HEADERS frame of HPACK's static table.
    const HTTP2_REQUEST: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
        \x00\x00\x00\x04\x00\x00\x00\x00\x00\
        \x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x01a";

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
            let is_accepted = tokio::spawn(async move { finish(&session).is_ok_and(|state| state.is_some()) });
            assert_eq!(is_accepted.await.unwrap(), expected, "{line}");
        }
    }

    #[tokio::test]
    async fn http1_request_without_a_guard_is_rejected() {
        let (_client, server) = send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let session = ServerSession::new_http1(Box::new(server));
        assert_eq!(finish(&session).err(), Some(ErrorCode::BadRequest));
    }

    #[tokio::test]
    async fn http2_request_in_a_task_of_its_own_needs_no_guard() {
        let (_client, server) = send(HTTP2_REQUEST).await;
        let mut connection = handshake(Box::new(server), None).await.unwrap();
        let accepted = HttpSession::from_h2_conn(&mut connection, Arc::new(Digest::default())).await.unwrap();
        let Some(H2Accept::Session(stream)) = accepted else { panic!("no stream was accepted") };
        let session = ServerSession::new_http2(stream);
        let is_accepted = tokio::spawn(async move { finish(&session).is_ok_and(|state| state.is_none()) });
        assert!(is_accepted.await.unwrap());
    }
}

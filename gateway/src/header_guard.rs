//! Guard of a client's HTTP/1 stream: a header has a deadline, its request line is checked as it comes, and the bytes
//! of the next request are held back until the current one has its response.
//!
//! Pingora has no deadline for a header, repairs bad request lines before anyone sees them, and ends a connection on
//! which requests are pipelined.

mod delegation;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use gatepost_edge::{HttpsRedirect, MAX_HEADER_BYTES};
use pingora::protocols::Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::header_state::HeaderState;
use crate::in_flight::InFlightGuard;
use crate::request_framing::HeaderEndScanner;
use crate::request_line::{LeadingLineEnds, RequestLineState};
use crate::tls::TlsSession;
use crate::websocket_end::{GoingAway, WebSocketEnd};

/// Limit for a header without an end: over the limit of request validation, so that validation can say why it rejects,
/// with room for the body that may come in the same read.
const MAX_UNREAD_BYTES: usize = MAX_HEADER_BYTES + 64 * 1024;

/// A guarded stream. Its digest leads the phases of each request to its [`HeaderState`].
pub(crate) struct GuardedStream {
    stream: Stream,
    state: Arc<HeaderState>,
    digest: Arc<ProxyDigest>,
    /// Limit from the first byte of a header to its last.
    timeout: Duration,
    request_line: RequestLineState,
    header_end: HeaderEndScanner,
    /// Bytes behind the end of the current request: at most those that came in one read with its last bytes.
    buffered: BytesMut,
    /// Size of the header so far, leading line ends included.
    header_bytes: usize,
    /// Starts with the first byte of a header; of the first header, with the connection.
    deadline: Option<Instant>,
    /// Made only if a header does not come in one read.
    timer: Option<Pin<Box<Sleep>>>,
    /// Held until the first request has begun.
    before_request: Option<InFlightGuard>,
    going_away: GoingAway,
    /// Made with the first byte of a WebSocket.
    websocket: Option<Box<WebSocketEnd>>,
}

impl GuardedStream {
    /// Guards a new connection, whose first header is due at once.
    pub(crate) fn new(
        stream: Stream,
        tls: Option<Arc<TlsSession>>,
        redirect: Option<Arc<HttpsRedirect>>,
        timeout: Duration,
        going_away: GoingAway,
    ) -> Self {
        let state = Arc::new(HeaderState::new(tls, redirect));
        Self {
            stream,
            digest: state.digest(),
            state,
            timeout,
            request_line: RequestLineState::NEW,
            header_end: HeaderEndScanner::default(),
            buffered: BytesMut::new(),
            header_bytes: 0,
            deadline: Some(Instant::now() + timeout),
            timer: None,
            before_request: None,
            going_away,
            websocket: None,
        }
    }

    /// Holds a guard until the first request has begun, or the connection has ended.
    pub(crate) fn hold_until_request(mut self, guard: InFlightGuard) -> Self {
        self.before_request = Some(guard);
        self
    }

    /// Resets the check of the request line with the first bytes after a request.
    fn start_request_line(&mut self) {
        if self.deadline.is_none() && self.request_line.is_complete() {
            self.request_line = RequestLineState::NEW;
            self.header_end = HeaderEndScanner::default();
            self.header_bytes = 0;
            self.state.set_request_line_invalid(false);
        }
    }

    fn start_deadline(&mut self) {
        if self.deadline.is_none() {
            self.deadline = Some(Instant::now() + self.timeout);
        }
    }

    /// Drops line ends before the request line from a buffer. The parser would drop any number of them, and search all
    /// of them again with each read. One empty line starts no deadline: the next request may come much later.
    fn drop_line_ends(&mut self, buffer: &mut ReadBuf<'_>, from: usize, count: usize) -> io::Result<()> {
        let left = buffer.filled().len() - count;
        buffer.filled_mut().copy_within(from + count.., from);
        buffer.set_filled(left);
        self.header_bytes = self.header_bytes.saturating_add(count);
        if self.request_line == RequestLineState::Pending(LeadingLineEnds::Invalid) {
            self.start_deadline();
        }
        self.check_size()
    }

    fn record_header_bytes(&mut self, bytes: &[u8]) {
        self.header_bytes = self.header_bytes.saturating_add(bytes.len());
        self.request_line.consume(bytes);
        if self.request_line == RequestLineState::Invalid {
            self.state.set_request_line_invalid(true);
        }
    }

    /// Pingora would buffer a MiB before any phase runs.
    fn check_size(&self) -> io::Result<()> {
        if self.header_bytes > MAX_UNREAD_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the header is too long"));
        }
        Ok(())
    }

    fn check_deadline(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(deadline) = self.deadline else { return Ok(()) };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        match timer.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "the header took too long")),
        }
    }

    /// Reads what was held back, else from the client.
    fn poll_source(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.buffered.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.buffered.len().min(buffer.remaining());
        buffer.put_slice(&self.buffered[..length]);
        self.buffered.advance(length);
        Poll::Ready(Ok(()))
    }

    /// Holds back the bytes of a buffer from an index on, before those that are held back already.
    fn buffer_from(&mut self, buffer: &mut ReadBuf<'_>, from: usize) {
        let bytes = &buffer.filled()[from..];
        if !bytes.is_empty() {
            let rest = std::mem::replace(&mut self.buffered, BytesMut::from(bytes));
            self.buffered.extend_from_slice(&rest);
            buffer.set_filled(from);
        }
    }

    fn poll_header(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            if self.poll_source(context, buffer)?.is_pending() {
                self.check_deadline(context)?;
                return Poll::Pending;
            }
            self.start_request_line();
            let line_ends = self.request_line.consume_line_ends(&buffer.filled()[before..]);
            if line_ends == 0 {
                break;
            }
            self.drop_line_ends(buffer, before, line_ends)?;
            if buffer.filled().len() > before {
                break;
            }
        }
        self.start_deadline();
        if let Some(length) = self.header_end.find(&buffer.filled()[before..]) {
            self.buffer_from(buffer, before + length);
        }
        self.record_header_bytes(&buffer.filled()[before..]);
        Poll::Ready(self.check_size())
    }

    /// Reads from a WebSocket, or ends it if the gateway goes away.
    fn poll_tunnel(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let websocket = WebSocketEnd::in_slot(&mut self.websocket, &self.going_away);
        if let Poll::Ready(error) = websocket.poll_end(context, &mut self.stream) {
            return Poll::Ready(Err(error));
        }
        if websocket.is_open() { self.poll_source(context, buffer) } else { Poll::Pending }
    }

    /// Writes to a WebSocket whose end has not begun.
    fn poll_write_tunnel(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let websocket = WebSocketEnd::in_slot(&mut self.websocket, &self.going_away);
        if !websocket.is_open() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        websocket.note_written(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_body(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.state.body().is_complete() {
            if !self.buffered.is_empty() {
                // They are read with the next header, so no waker is needed until then.
                return Poll::Pending;
            }
            ready!(self.poll_source(context, buffer))?;
            if buffer.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            self.buffer_from(buffer, before);
            return Poll::Pending;
        }
        ready!(self.poll_source(context, buffer))?;
        let length = self.state.body().consume(&buffer.filled()[before..]);
        self.buffer_from(buffer, before + length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.state.is_header_read() {
            self.before_request = None;
            self.deadline = None;
            self.timer = None;
            if self.state.is_tunnel() {
                return self.poll_tunnel(context, buffer);
            }
            return self.poll_body(context, buffer);
        }
        self.poll_header(context, buffer)
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // A response ends the header's deadline, even if nothing was read since.
        self.before_request = None;
        self.deadline = None;
        self.timer = None;
        if self.state.is_tunnel() {
            return self.poll_write_tunnel(context, bytes);
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(Pin::new(&mut self.stream).poll_shutdown(context)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.before_request = None;
        self.deadline = None;
        self.timer = None;
        if self.state.is_tunnel() {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write_tunnel(context, first.map_or(&[], |slice| &**slice));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl fmt::Debug for GuardedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

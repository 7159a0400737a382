//! A client's stream on which a header has a deadline, its first line is judged as it comes, and the bytes of the next
//! request are held back until this one is answered.
//!
//! Pingora has no deadline for a header, repairs bad request lines before anyone sees them, and ends a connection on
//! which requests are pipelined.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::request_framing::{BodyFraming, HeaderEndScanner};
use crate::request_line::{LeadingLineEnds, RequestLineState};
use crate::request_validation::MAX_HEADER_BYTES;

/// Bytes that are taken of a header without an end: more than the front allows, so that it can say why it refuses, and
/// the body that may come with it.
const MAX_UNREAD_BYTES: usize = MAX_HEADER_BYTES + 64 * 1024;

tokio::task_local! {
    static HEADER_STATE: Arc<HeaderState>;
}

/// What stream and phases tell each other about the header that is being read.
#[derive(Debug)]
struct HeaderState {
    /// Whether the header of the current request was read.
    is_header_read: AtomicBool,
    /// Whether its request line was not in the strict form of RFC 9112 section 3.
    is_request_line_invalid: AtomicBool,
    /// What follows that header.
    body: Mutex<BodyFraming>,
}

impl Default for HeaderState {
    fn default() -> Self {
        Self {
            is_header_read: AtomicBool::default(),
            is_request_line_invalid: AtomicBool::default(),
            body: Mutex::new(BodyFraming::EMPTY),
        }
    }
}

impl HeaderState {
    fn body(&self) -> MutexGuard<'_, BodyFraming> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the request line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestLineForm {
    Strict,
    Repaired,
}

/// Serves a stream that watches its headers.
pub(crate) async fn serve_guarded<F: Future>(
    stream: Stream,
    timeout: Duration,
    serve: impl FnOnce(Stream) -> F,
) -> F::Output {
    let state = Arc::new(HeaderState::default());
    let guarded = GuardedStream::new(stream, Arc::clone(&state), timeout);
    HEADER_STATE.scope(state, serve(Box::new(guarded))).await
}

/// Tells the stream that the header was read, and answers how its first line came.
pub(crate) fn mark_header_read() -> RequestLineForm {
    let is_invalid = HEADER_STATE.try_with(|watch| {
        *watch.body() = BodyFraming::EMPTY;
        watch.is_header_read.store(true, Ordering::Relaxed);
        watch.is_request_line_invalid.load(Ordering::Relaxed)
    });
    // Without a watch there is nothing that vouches for the line.
    if is_invalid.unwrap_or(true) { RequestLineForm::Repaired } else { RequestLineForm::Strict }
}

/// Tells the stream what follows the header that was read.
pub(crate) fn set_body_framing(body: BodyFraming) {
    // Outside of a connection nothing is held back.
    let _ = HEADER_STATE.try_with(|watch| *watch.body() = body);
}

/// Tells the stream that the next bytes are those of another request.
pub(crate) fn expect_next_header() {
    // Outside of a connection there is no next one.
    let _ = HEADER_STATE.try_with(|watch| watch.is_header_read.store(false, Ordering::Relaxed));
}

/// A client's stream on which a header has a deadline and its first line is judged as it comes.
struct GuardedStream {
    stream: Stream,
    state: Arc<HeaderState>,
    timeout: Duration,
    request_line: RequestLineState,
    header_end: HeaderEndScanner,
    /// Bytes that came behind the end of the current request: no more than came with its last bytes in one read.
    buffered: BytesMut,
    /// Bytes that came while a header was read.
    header_bytes: usize,
    /// Set with the first byte of a header; for the first header with the connection.
    deadline: Option<Instant>,
    /// Only made when a header does not come in one piece.
    timer: Option<Pin<Box<Sleep>>>,
}

impl GuardedStream {
    fn new(stream: Stream, state: Arc<HeaderState>, timeout: Duration) -> Self {
        let deadline = Some(Instant::now() + timeout);
        Self {
            stream,
            state,
            timeout,
            request_line: RequestLineState::NEW,
            header_end: HeaderEndScanner::default(),
            buffered: BytesMut::new(),
            header_bytes: 0,
            deadline,
            timer: None,
        }
    }

    /// Begins another request line with the first bytes that come after a request.
    fn start_request_line(&mut self) {
        if self.deadline.is_none() && self.request_line.is_complete() {
            self.request_line = RequestLineState::NEW;
            self.header_end = HeaderEndScanner::default();
            self.header_bytes = 0;
            self.state.is_request_line_invalid.store(false, Ordering::Relaxed);
        }
    }

    fn start_deadline(&mut self) {
        if self.deadline.is_none() {
            self.deadline = Some(Instant::now() + self.timeout);
        }
    }

    /// Drops line ends before the request line from a buffer. The parser would drop any number of them, and search all of
    /// them with each piece that comes. One empty line begins no header: its client may send no other request for a while.
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
            self.state.is_request_line_invalid.store(true, Ordering::Relaxed);
        }
    }

    /// Pingora would gather a MiB before anyone is asked.
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
}

impl GuardedStream {
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

    /// Holds back what is in a buffer from a place on. It goes before what is held already.
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

    fn poll_body(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.state.body().is_complete() {
            if !self.buffered.is_empty() {
                // It is read with the next header, and until then nothing has to be woken.
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
        if self.state.is_header_read.load(Ordering::Relaxed) {
            self.deadline = None;
            self.timer = None;
            return self.poll_body(context, buffer);
        }
        self.poll_header(context, buffer)
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // With an answer the header's time is over, also if nothing was read since.
        self.deadline = None;
        self.timer = None;
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
        self.deadline = None;
        self.timer = None;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl fmt::Debug for GuardedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("stream", &self.stream).finish_non_exhaustive()
    }
}

#[async_trait]
impl Shutdown for GuardedStream {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for GuardedStream {
    fn id(&self) -> i32 {
        self.stream.id()
    }
}

impl Ssl for GuardedStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl Peek for GuardedStream {}

impl GetTimingDigest for GuardedStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for GuardedStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for GuardedStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

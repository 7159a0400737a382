//! A client's stream on which a header has a deadline, and its first line is judged as it comes.
//!
//! Pingora has no deadline for a header, and repairs bad request lines before anyone sees them.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::front::MAX_HEADER_BYTES;

/// Bytes that are taken of a header without an end: more than the front allows, so that it can say why it refuses, and
/// the body that may come with it.
const MAX_UNREAD_BYTES: usize = MAX_HEADER_BYTES + 64 * 1024;

tokio::task_local! {
    static WATCH: Arc<HeaderWatch>;
}

/// What stream and phases tell each other about the header that is being read.
#[derive(Debug, Default)]
struct HeaderWatch {
    /// Whether the header of the current request was read.
    is_read: AtomicBool,
    /// Whether its request line was not in the strict form of RFC 9112 section 3.
    is_line_bad: AtomicBool,
}

/// How the request line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestLine {
    Strict,
    Repaired,
}

/// Serves a stream that watches its headers.
pub(crate) async fn watch<F: Future>(stream: Stream, timeout: Duration, serve: impl FnOnce(Stream) -> F) -> F::Output {
    let watch = Arc::new(HeaderWatch::default());
    let watched = Watched::new(stream, Arc::clone(&watch), timeout);
    WATCH.scope(watch, serve(Box::new(watched))).await
}

/// Tells the stream that the header was read, and answers how its first line came.
pub(crate) fn header_was_read() -> RequestLine {
    let is_bad = WATCH.try_with(|watch| {
        watch.is_read.store(true, Ordering::Relaxed);
        watch.is_line_bad.load(Ordering::Relaxed)
    });
    // Without a watch there is nothing that vouches for the line.
    if is_bad.unwrap_or(true) { RequestLine::Repaired } else { RequestLine::Strict }
}

/// Tells the stream that the next bytes are those of another request.
pub(crate) fn await_next_header() {
    // Outside of a connection there is no next one.
    let _ = WATCH.try_with(|watch| watch.is_read.store(false, Ordering::Relaxed));
}

/// A client's stream on which a header has a deadline and its first line is judged as it comes.
struct Watched {
    stream: Stream,
    watch: Arc<HeaderWatch>,
    timeout: Duration,
    line: Line,
    /// Bytes that came while a header was read.
    header_bytes: usize,
    /// Set with the first byte of a header; for the first header with the connection.
    deadline: Option<Instant>,
    /// Only made when a header does not come in one piece.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// How far the request line was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// So many spaces were seen; a CR ends it.
    Reading { spaces: u8 },
    /// It has ended.
    Over,
}

impl Watched {
    fn new(stream: Stream, watch: Arc<HeaderWatch>, timeout: Duration) -> Self {
        let deadline = Some(Instant::now() + timeout);
        Self { stream, watch, timeout, line: Line::Reading { spaces: 0 }, header_bytes: 0, deadline, alarm: None }
    }

    fn took(&mut self, bytes: &[u8]) {
        if self.line == Line::Over && self.deadline.is_none() {
            // The first bytes of another header.
            self.line = Line::Reading { spaces: 0 };
            self.header_bytes = 0;
            self.watch.is_line_bad.store(false, Ordering::Relaxed);
        }
        if self.deadline.is_none() {
            self.deadline = Some(Instant::now() + self.timeout);
        }
        self.header_bytes = self.header_bytes.saturating_add(bytes.len());
        let Line::Reading { mut spaces } = self.line else { return };
        for byte in bytes {
            match byte {
                b'\r' => {
                    self.end_line(spaces);
                    return;
                }
                b' ' => spaces = spaces.saturating_add(1),
                // A fragment has no place in a request, and the parser would drop it unseen.
                b'#' => {
                    self.end_line(u8::MAX);
                    return;
                }
                0x21..=0x7e => {}
                _ => {
                    self.end_line(u8::MAX);
                    return;
                }
            }
        }
        self.line = Line::Reading { spaces };
    }

    /// A request line has exactly two spaces.
    fn end_line(&mut self, spaces: u8) {
        if spaces != 2 {
            self.watch.is_line_bad.store(true, Ordering::Relaxed);
        }
        self.line = Line::Over;
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
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        match alarm.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "the header took too long")),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.watch.is_read.load(Ordering::Relaxed) {
            this.deadline = None;
            this.alarm = None;
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                this.took(&buffer.filled()[before..]);
                Poll::Ready(this.check_size())
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                this.check_deadline(context)?;
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // With an answer the header's time is over, also if nothing was read since.
        self.deadline = None;
        self.alarm = None;
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
        self.alarm = None;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("stream", &self.stream).finish_non_exhaustive()
    }
}

#[async_trait]
impl Shutdown for Watched {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for Watched {
    fn id(&self) -> i32 {
        self.stream.id()
    }
}

impl Ssl for Watched {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl Peek for Watched {}

impl GetTimingDigest for Watched {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for Watched {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Watched {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

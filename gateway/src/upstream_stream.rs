//! Stream to an upstream that checks the header of each response as it comes, and limits the silence of a WebSocket.
//!
//! Pingora drops a `Content-Length` next to a `Transfer-Encoding` before anyone sees it, and has one timeout for all
//! reads of a connection.

mod delegation;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::options::GatewayLimits;
use crate::response_check::{self, ResponseError};
use crate::upstream_exchange::{Exchange, Stage};

pub(crate) struct UpstreamStream {
    stream: Stream,
    exchange: Arc<Exchange>,
    digest: Arc<ProxyDigest>,
    /// Start of a header whose end has not come yet. The parser limits its size.
    header: Vec<u8>,
    /// Limit for the silence of a WebSocket in both directions.
    websocket_idle: Duration,
    /// Whether nothing was written since the last flush.
    is_flushed: bool,
    /// Made only for a WebSocket.
    idle_timer: Option<Pin<Box<Sleep>>>,
    last_active: Instant,
}

impl UpstreamStream {
    pub(crate) fn new(stream: Stream, limits: &GatewayLimits) -> Self {
        let exchange = Arc::new(Exchange::new());
        Self {
            stream,
            digest: exchange.digest(),
            exchange,
            header: Vec::new(),
            websocket_idle: limits.websocket_idle,
            is_flushed: true,
            idle_timer: None,
            last_active: Instant::now(),
        }
    }

    /// Checks the bytes of a header, and returns the stage after them.
    fn check_header(&mut self, bytes: &[u8], mut stage: Stage) -> Result<Stage, ResponseError> {
        let gathered;
        let mut rest = if self.header.is_empty() {
            bytes
        } else {
            self.header.extend_from_slice(bytes);
            gathered = std::mem::take(&mut self.header);
            &gathered
        };
        while matches!(stage, Stage::Header | Stage::HandshakeHeader) {
            let Some(checked) = response_check::check(rest)? else {
                self.header = rest.to_vec();
                break;
            };
            stage = stage.advance(checked)?;
            rest = &rest[checked.length..];
        }
        Ok(stage)
    }

    fn on_read(&mut self, bytes: &[u8], stage: Stage) -> io::Result<()> {
        match stage {
            Stage::Body | Stage::Unusable | Stage::HandshakeRequest => return Ok(()),
            Stage::HandshakeBody | Stage::WebSocket => self.last_active = Instant::now(),
            Stage::Header | Stage::HandshakeHeader => {
                let checked = self.check_header(bytes, stage);
                self.exchange.set(*checked.as_ref().unwrap_or(&Stage::Unusable));
                checked.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
                if stage == Stage::HandshakeHeader {
                    self.last_active = Instant::now();
                }
            }
        }
        Ok(())
    }

    /// Returns the limit for silence at a stage, or none where Pingora has a timeout.
    fn idle_timeout(&self, stage: Stage) -> Option<Duration> {
        match stage {
            Stage::Header | Stage::Body | Stage::Unusable => None,
            Stage::HandshakeRequest | Stage::HandshakeHeader | Stage::HandshakeBody => {
                Some(self.exchange.handshake_timeout())
            }
            Stage::WebSocket => Some(self.websocket_idle),
        }
    }

    /// Fails once both sides have been silent for too long.
    #[inline]
    fn check_idle_timeout(&mut self, stage: Stage, context: &mut Context<'_>) -> io::Result<()> {
        match self.idle_timeout(stage) {
            None => Ok(()),
            Some(timeout) => self.poll_idle_timer(timeout, context),
        }
    }

    #[cold]
    fn poll_idle_timer(&mut self, timeout: Duration, context: &mut Context<'_>) -> io::Result<()> {
        let deadline = self.last_active + timeout;
        let timer = self.idle_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        match timer.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "the upstream was silent for too long")),
        }
    }

    /// Records that bytes go to the upstream, which ends a silence.
    fn on_write(&mut self) {
        self.is_flushed = false;
        if self.idle_timer.is_some() || self.exchange.stage() == Stage::HandshakeRequest {
            self.last_active = Instant::now();
        }
    }

    /// Records that all that was written is sent: a request for a WebSocket is its header alone.
    fn on_flush(&mut self) {
        if std::mem::replace(&mut self.is_flushed, true) && self.exchange.stage() == Stage::HandshakeRequest {
            self.exchange.set(Stage::HandshakeHeader);
        }
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let stage = this.exchange.stage();
        if stage == Stage::Unusable {
            // Reads as closed, so that the connection is not used again.
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if stage == Stage::HandshakeRequest {
            // The task that reads also writes and flushes, which ends this stage.
            this.check_idle_timeout(stage, context)?;
            return Poll::Pending;
        }
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(this.on_read(&buffer.filled()[before..], stage)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                this.check_idle_timeout(stage, context)?;
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.on_write();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.on_flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.on_write();
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl fmt::Debug for UpstreamStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

//! A stream to an upstream, on which the header of each response is checked as it comes, and on which the silence of a
//! WebSocket has a limit of its own.
//!
//! Pingora drops a `Content-Length` beside a `Transfer-Encoding` before anyone sees it, and has one time-out for all
//! reads of a connection.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::options::Limits;
use crate::response_check::{self, AnnouncedBody, CheckedHeader, HttpVersion, ResponseError, Upgrade};

/// A stream to an upstream whose responses are checked.
pub(crate) struct UpstreamStream {
    stream: Stream,
    exchange: Arc<Exchange>,
    digest: Arc<ProxyDigest>,
    /// The beginning of a header whose end has not come yet. The parser bounds it.
    header: Vec<u8>,
    /// How long a server may take to answer a request for a WebSocket.
    handshake_timeout: Duration,
    /// How long a WebSocket may be silent.
    websocket_idle: Duration,
    /// Whether nothing was written since it was last sent.
    is_flushed: bool,
    /// Only made for a WebSocket.
    idle_timer: Option<Pin<Box<Sleep>>>,
    last_active: Instant,
}

/// How far the exchange of a request and its response has come. The phases of a request share it with the stream.
#[derive(Debug)]
struct Exchange(AtomicU8);

/// What is expected of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The header of a response.
    Header,
    /// Nothing until the whole request for a WebSocket is sent: Pingora ends one that is answered before.
    HandshakeRequest,
    /// The header of a response to it.
    HandshakeHeader,
    /// A body, or nothing.
    Body,
    /// The body of a response that refuses a WebSocket.
    HandshakeBody,
    /// Whatever a WebSocket carries.
    WebSocket,
    /// Nothing further: the rest cannot be told from a response.
    Unusable,
}

/// What a request asks its upstream for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestedUpgrade {
    None,
    WebSocket,
    /// A switch that is not passed on, so a response.
    Other,
}

/// Begins a request on the stream that has this digest.
pub(crate) fn begin_exchange(digest: Option<&Digest>, upgrade: RequestedUpgrade) {
    let user_data = digest.and_then(|digest| digest.proxy_digest.as_ref()?.user_data.as_ref());
    if let Some(exchange) = user_data.and_then(|data| data.downcast_ref::<Arc<Exchange>>()) {
        exchange.set(match upgrade {
            RequestedUpgrade::None | RequestedUpgrade::Other => Stage::Header,
            RequestedUpgrade::WebSocket => Stage::HandshakeRequest,
        });
    }
}

impl Exchange {
    fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    fn stage(&self) -> Stage {
        Stage::ALL.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or(Stage::Unusable)
    }
}

impl Stage {
    /// In the order of their numbers.
    const ALL: [Self; 7] = [
        Self::Header,
        Self::HandshakeRequest,
        Self::HandshakeHeader,
        Self::Body,
        Self::HandshakeBody,
        Self::WebSocket,
        Self::Unusable,
    ];

    /// What comes after a header. A header of an interim response is followed by another one.
    fn advance(self, header: CheckedHeader) -> Result<Self, ResponseError> {
        match (header.status, self) {
            (101, Stage::HandshakeHeader)
                if header.version == HttpVersion::Http11 && header.upgrade != Upgrade::Other =>
            {
                Ok(Stage::WebSocket)
            }
            (101, _) => Err(ResponseError::UnrequestedUpgrade),
            (100..=199, _) => Ok(self),
            // They have no body, so whatever comes is no response.
            (204, _) if header.body != AnnouncedBody::None => Ok(Stage::Unusable),
            (304, _) if header.body == AnnouncedBody::Chunked => Ok(Stage::Unusable),
            (_, Stage::HandshakeHeader) => Ok(Stage::HandshakeBody),
            (_, _) => Ok(Stage::Body),
        }
    }
}

impl UpstreamStream {
    pub(crate) fn new(stream: Stream, limits: &Limits) -> pingora::Result<Self> {
        let exchange = Arc::new(Exchange(AtomicU8::new(Stage::Header as u8)));
        // There is no proxy in between; a digest is what reaches the phases.
        let response = Box::new(ResponseHeader::build(200, Some(0))?);
        let digest = Arc::new(ProxyDigest::new(response, Some(Box::new(Arc::clone(&exchange)))));
        Ok(Self {
            stream,
            exchange,
            digest,
            header: Vec::new(),
            handshake_timeout: limits.upstream_timeout,
            websocket_idle: limits.websocket_idle,
            is_flushed: true,
            idle_timer: None,
            last_active: Instant::now(),
        })
    }

    /// Checks bytes that came while a header is expected.
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

    /// How long nothing may come at this stage; none where Pingora has a time-out.
    fn idle_timeout(&self, stage: Stage) -> Option<Duration> {
        match stage {
            Stage::Header | Stage::Body | Stage::Unusable => None,
            Stage::HandshakeRequest | Stage::HandshakeHeader | Stage::HandshakeBody => Some(self.handshake_timeout),
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

    /// Notes that bytes go to the upstream, which ends a silence.
    fn on_write(&mut self) {
        self.is_flushed = false;
        if self.idle_timer.is_some() || self.exchange.stage() == Stage::HandshakeRequest {
            self.last_active = Instant::now();
        }
    }

    /// Notes that all that was written is sent. The header of a request is, and at its end nothing more is.
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
            // As if it were closed, so that it is not used again.
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if stage == Stage::HandshakeRequest {
            // What ends this stage is done by the task that reads.
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

#[async_trait]
impl Shutdown for UpstreamStream {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for UpstreamStream {
    fn id(&self) -> i32 {
        self.stream.id()
    }
}

impl Ssl for UpstreamStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl Peek for UpstreamStream {}

impl GetTimingDigest for UpstreamStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for UpstreamStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl GetSocketDigest for UpstreamStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_round_trips() {
        let exchange = Exchange(AtomicU8::new(0));
        for stage in Stage::ALL {
            exchange.set(stage);
            assert_eq!(exchange.stage(), stage);
        }
    }
}

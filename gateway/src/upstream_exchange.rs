//! Exchange of one request and its response with an upstream, by stages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use pingora::http::ResponseHeader;
use pingora::protocols::Digest;
use pingora::protocols::raw_connect::ProxyDigest;

use crate::response_check::{AnnouncedBody, CheckedHeader, HttpVersion, ResponseError, Upgrade};

/// Progress of the current exchange on a stream, shared with the phases of its request.
#[derive(Debug)]
pub(crate) struct Exchange {
    stage: AtomicU8,
    /// Of a WebSocket.
    handshake_timeout_ms: AtomicU64,
}

/// Bytes that are due next from an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The header of a response.
    Header,
    /// Nothing until the request for a WebSocket is sent: Pingora ends an exchange whose response comes earlier.
    HandshakeRequest,
    /// The header of a response to it.
    HandshakeHeader,
    /// A body, or nothing.
    Body,
    /// The body of a response that refuses a WebSocket.
    HandshakeBody,
    WebSocket,
    /// None: they could not be distinguished from a response.
    Unusable,
}

/// Protocol switch that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestedUpgrade {
    None,
    WebSocket,
    /// Not passed on, so the exchange is a plain one.
    Other,
}

/// Begins an exchange on the stream that has this digest. `handshake_timeout` limits the wait for the response to a
/// request for a WebSocket.
pub(crate) fn begin(digest: Option<&Digest>, upgrade: RequestedUpgrade, handshake_timeout: Duration) {
    let user_data = digest.and_then(|digest| digest.proxy_digest.as_ref()?.user_data.as_ref());
    if let Some(exchange) = user_data.and_then(|data| data.downcast_ref::<Arc<Exchange>>()) {
        exchange.set(match upgrade {
            RequestedUpgrade::None | RequestedUpgrade::Other => Stage::Header,
            RequestedUpgrade::WebSocket => {
                exchange.set_handshake_timeout(handshake_timeout);
                Stage::HandshakeRequest
            }
        });
    }
}

impl Exchange {
    pub(crate) fn new() -> Self {
        Self { stage: AtomicU8::new(Stage::Header as u8), handshake_timeout_ms: AtomicU64::new(0) }
    }

    /// Returns the digest by which [`begin`] finds the exchange. There is no proxy in between: it is the one place in
    /// a digest for data of one's own.
    pub(crate) fn digest(self: &Arc<Self>) -> Arc<ProxyDigest> {
        let response = Box::new(ResponseHeader::build(200, Some(0)).expect("200 is a status"));
        Arc::new(ProxyDigest::new(response, Some(Box::new(Arc::clone(self)))))
    }

    pub(crate) fn set(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    fn set_handshake_timeout(&self, timeout: Duration) {
        let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.handshake_timeout_ms.store(ms, Ordering::Relaxed);
    }

    /// Returns the limit for the response to the current request for a WebSocket.
    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn stage(&self) -> Stage {
        Stage::ALL.get(usize::from(self.stage.load(Ordering::Relaxed))).copied().unwrap_or(Stage::Unusable)
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

    /// Returns the stage after a header. An interim response is followed by another header.
    pub(crate) fn advance(self, header: CheckedHeader) -> Result<Self, ResponseError> {
        match (header.status, self) {
            (101, Stage::HandshakeHeader)
                if header.version == HttpVersion::Http11 && header.upgrade != Upgrade::Other =>
            {
                Ok(Stage::WebSocket)
            }
            (101, _) => Err(ResponseError::UnrequestedUpgrade),
            (100..=199, _) => Ok(self),
            // These have no body, so bytes that follow are not a response.
            (204, _) if header.body != AnnouncedBody::None => Ok(Stage::Unusable),
            (304, _) if header.body == AnnouncedBody::Chunked => Ok(Stage::Unusable),
            (_, Stage::HandshakeHeader) => Ok(Stage::HandshakeBody),
            (_, _) => Ok(Stage::Body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_round_trips() {
        let exchange = Exchange::new();
        for stage in Stage::ALL {
            exchange.set(stage);
            assert_eq!(exchange.stage(), stage);
        }
    }
}

//! Handshakes with clients.

use std::io;
use std::sync::Arc;

use pingora::protocols::Stream;
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::acceptor::TlsAcceptor;
use super::options::UnknownName;

/// A fatal alert `unrecognized_name` (RFC 8446 section 6) in a record of its own.
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];

/// A handshake that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the handshake took too long")]
    TimedOut,
    #[error("no certificate has the name that the client asked for")]
    UnknownName,
    #[error("the handshake failed")]
    Failed(#[source] io::Error),
}

impl HandshakeError {
    /// Returns its label in metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            HandshakeError::TimedOut => "timeout",
            HandshakeError::UnknownName => "unknown_name",
            HandshakeError::Failed(_) => "failed",
        }
    }
}

impl TlsAcceptor {
    /// Shakes hands within the deadline of the options.
    pub(crate) async fn accept(&self, stream: Stream) -> Result<TlsStream<Stream>, HandshakeError> {
        let handshake = tokio::time::timeout(self.options().handshake_timeout, self.shake_hands(stream));
        handshake.await.unwrap_or(Err(HandshakeError::TimedOut))
    }

    async fn shake_hands(&self, stream: Stream) -> Result<TlsStream<Stream>, HandshakeError> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(HandshakeError::Failed)?;
        let material = self.material();
        if self.options().unknown_name == UnknownName::Refuse {
            let is_known =
                start.client_hello().server_name().is_some_and(|name| material.certificates.find(name).is_some());
            if !is_known {
                let mut stream = start.io;
                // The client may have gone already.
                let _ = stream.write_all(UNRECOGNIZED_NAME).await;
                let _ = stream.shutdown().await;
                return Err(HandshakeError::UnknownName);
            }
        }
        start.into_stream(Arc::clone(&material.config)).await.map_err(HandshakeError::Failed)
    }
}

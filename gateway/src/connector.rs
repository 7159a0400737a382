//! Connects to upstreams, so that every stream to one is checked. Pingora asks a connector of one's own only for peers
//! with a protocol of one's own, speaks HTTP/1 on the stream that it gets, and pools it.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::http::custom::{Connection, Connector};
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::ALPN;
use pingora::protocols::tls::CustomALPN;
use pingora::upstreams::peer::Peer;

use crate::snapshot::CurrentSnapshot;
use crate::upstream_stream::UpstreamStream;

/// The protocol by which a peer is marked. Without TLS it is never on the wire.
static CHECKED: LazyLock<ALPN> = LazyLock::new(|| ALPN::Custom(CustomALPN::new(b"checked".to_vec())));

/// The protocol of a peer to which [`UpstreamConnector`] connects.
pub(crate) fn checked_protocol() -> ALPN {
    CHECKED.clone()
}

/// Makes connections on which responses are checked.
pub(crate) struct UpstreamConnector {
    transport: TransportConnector,
    current: CurrentSnapshot,
}

impl UpstreamConnector {
    pub(crate) fn new(options: ConnectorOptions, current: CurrentSnapshot) -> Self {
        Self { transport: TransportConnector::new(Some(options)), current }
    }
}

#[async_trait]
impl Connector for UpstreamConnector {
    type Session = ();

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> pingora::Result<(Connection<()>, bool)> {
        let stream = self.transport.new_stream(peer).await?;
        const IS_REUSED: bool = false;
        Ok((Connection::Stream(Box::new(UpstreamStream::new(stream, &self.current.load().limits)?)), IS_REUSED))
    }

    /// None: streams are pooled as those of HTTP/1.
    async fn reused_http_session<P: Peer + Send + Sync + 'static>(&self, _peer: &P) -> Option<()> {
        None
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        _session: (),
        _peer: &P,
        _idle_timeout: Option<Duration>,
    ) {
    }
}

//! Connections to upstreams, wrapped so that every response on them is checked. Pingora uses a custom connector only
//! for peers with a custom protocol (see `checked_protocol`), speaks HTTP/1 on the stream that it gets, and pools it.

use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::http::custom::{Connection, Connector};
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::upstreams::peer::Peer;

use crate::snapshot::CurrentSnapshot;
use crate::upstream_stream::UpstreamStream;

/// Connector whose connections check responses. A connection keeps the timeouts of the snapshot in which it was made.
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
        Ok((Connection::Stream(Box::new(UpstreamStream::new(stream, &self.current.load().limits))), IS_REUSED))
    }

    /// Returns none: Pingora pools these streams as those of HTTP/1.
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

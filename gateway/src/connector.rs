//! Connections to upstreams, wrapped so that every response on them is checked. Pingora uses a custom connector only
//! for peers with a custom protocol (see `checked_protocol`), speaks HTTP/1 on the stream that it gets, and pools it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::http::custom::{Connection, Connector};
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::Stream;
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, ErrorType};
use tokio::time::timeout;

use crate::snapshot::CurrentSnapshot;
use crate::tls::UpstreamMaterial;
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
        let limits = &self.current.load().limits;
        let stream = self.transport.new_stream(peer).await?;
        let stream = match tls_of(peer)? {
            None => stream,
            Some(tls) => secure(&tls, stream, limits.connect_timeout).await?,
        };
        const IS_REUSED: bool = false;
        Ok((Connection::Stream(Box::new(UpstreamStream::new(stream, limits))), IS_REUSED))
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

/// Returns the TLS settings of a peer, which carries their group.
fn tls_of<P: Peer + 'static>(peer: &P) -> pingora::Result<Option<Arc<UpstreamMaterial>>> {
    let peer: &dyn Any = peer;
    let group = peer.downcast_ref::<HttpPeer>().map_or(0, |peer| peer.group_key);
    if group == 0 {
        return Ok(None);
    }
    // The context of the request holds them.
    let tls = UpstreamMaterial::of_group(group);
    tls.map(Some).ok_or_else(|| Error::explain(ErrorType::InternalError, "the TLS settings of an upstream are gone"))
}

async fn secure(tls: &UpstreamMaterial, stream: Stream, limit: Duration) -> pingora::Result<Stream> {
    match timeout(limit, tls.connect(stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(Error::because(ErrorType::TLSHandshakeFailure, "connecting to an upstream", error)),
        Err(_) => Err(Error::explain(ErrorType::TLSHandshakeTimedout, "connecting to an upstream")),
    }
}

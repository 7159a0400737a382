//! Pingora's description of a server.

use std::time::Duration;

use pingora::upstreams::peer::HttpPeer;

use crate::checked_protocol::checked_protocol;
use crate::options::GatewayLimits;
use crate::tls::UpstreamMaterial;
use crate::upstream_exchange::RequestedUpgrade;

use super::server::Server;

/// Returns the peer for a request: HTTP/1.1, with a timeout for each wait. Of a WebSocket, the stream itself
/// limits the silence.
pub(crate) fn http_peer(
    server: &Server,
    tls: Option<&UpstreamMaterial>,
    upgrade: RequestedUpgrade,
    upstream_timeout: Duration,
    limits: &GatewayLimits,
) -> HttpPeer {
    // For Pingora a connection over TLS is a plain one, which the connector makes. Only its pool must know.
    let mut peer = HttpPeer::new(server.address, false, String::new());
    peer.group_key = tls.map_or(0, |tls| tls.group);
    peer.options.alpn = checked_protocol();
    peer.options.connection_timeout = Some(limits.connect_timeout);
    peer.options.total_connection_timeout = Some(limits.connect_timeout);
    peer.options.read_timeout = match upgrade {
        RequestedUpgrade::None | RequestedUpgrade::Other => Some(upstream_timeout),
        RequestedUpgrade::WebSocket => None,
    };
    peer.options.write_timeout = Some(upstream_timeout);
    peer.options.idle_timeout = Some(limits.upstream_idle);
    peer
}

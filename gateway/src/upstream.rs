//! Upstreams: servers behind a name, asked in turn; one that could not be reached is left out for a while.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use gatepost_domain::time::{Clock, Uptime};
use http::HeaderValue;
use pingora::upstreams::peer::HttpPeer;

use crate::connector;
use crate::options::{Limits, UpstreamOptions};
use crate::upstream_stream::RequestedUpgrade;

/// How long a server that could not be reached is left out.
const EJECTION_TIME: Duration = Duration::from_secs(2);
/// How long resolving the name of a server may take.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);
/// How often a request may be sent anew to another server, where that is safe.
pub(crate) const MAX_RETRIES: usize = 2;

/// The servers of one upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    servers: Vec<Server>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    host: HeaderValue,
    /// The address in words, for each line of the access log.
    address_text: String,
    /// Uptime in ms until which it is left out.
    ejected_until_ms: AtomicU64,
}

/// What is wrong with the names of upstreams now: each that does not resolve, in words.
pub async fn resolution_errors(upstreams: &[UpstreamOptions]) -> Vec<String> {
    let resolved = futures::future::join_all(upstreams.iter().map(Upstream::resolve)).await;
    resolved.into_iter().filter_map(Result::err).collect()
}

impl Upstream {
    /// Resolves the servers' names, once: an address that changes needs a restart.
    pub(crate) async fn resolve(options: &UpstreamOptions) -> Result<Self, String> {
        let mut servers = Vec::new();
        for server in &options.servers {
            let found = tokio::time::timeout(RESOLVE_DEADLINE, tokio::net::lookup_host(server)).await;
            let addresses = found
                .map_err(|_| format!("upstream {}: resolving {server} took too long", options.name))?
                .map_err(|error| format!("upstream {}: cannot resolve {server}: {error}", options.name))?;
            let host = HeaderValue::from_str(server)
                .map_err(|_| format!("upstream {}: {server:?} cannot stand in a Host header", options.name))?;
            servers.extend(addresses.map(|address| Server::new(address, host.clone())));
        }
        if servers.is_empty() {
            return Err(format!("upstream {} has no server", options.name));
        }
        Ok(Self { servers, next: AtomicUsize::new(0) })
    }

    /// The place of the next server in turn that is not left out; if all are, of the next in turn.
    pub(crate) fn choose(&self, clock: &dyn Clock) -> usize {
        let count = self.servers.len();
        if count == 1 {
            return 0;
        }
        let now = clock.uptime();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let mut in_turn = (0..count).map(|step| start.wrapping_add(step) % count);
        let is_available = |index: &usize| self.servers[*index].ejected_until_ms.load(Ordering::Relaxed) <= now.as_ms();
        in_turn.find(is_available).unwrap_or(start % count)
    }

    pub(crate) fn address(&self, index: usize) -> SocketAddr {
        self.servers[index].address
    }

    /// The server's name as it is configured, for requests of HTTP/1.0 that name no host.
    pub(crate) fn host_header(&self, index: usize) -> HeaderValue {
        self.servers[index].host.clone()
    }

    pub(crate) fn address_text(&self, index: usize) -> &str {
        &self.servers[index].address_text
    }

    /// Leaves a server out for a while.
    pub(crate) fn eject(&self, index: usize, now: Uptime) {
        let until_ms = now.as_ms() + EJECTION_TIME.as_millis() as u64;
        self.servers[index].ejected_until_ms.store(until_ms, Ordering::Relaxed);
    }
}

impl Server {
    fn new(address: SocketAddr, host: HeaderValue) -> Self {
        Self { address, host, address_text: address.to_string(), ejected_until_ms: AtomicU64::new(0) }
    }
}

/// How a server is talked to: plain HTTP/1.1, every wait bounded, that for a WebSocket by the stream itself.
pub(crate) fn http_peer(address: SocketAddr, upgrade: RequestedUpgrade, limits: &Limits) -> HttpPeer {
    let mut peer = HttpPeer::new(address, false, String::new());
    peer.options.alpn = connector::checked_protocol();
    peer.options.connection_timeout = Some(limits.connect_timeout);
    peer.options.total_connection_timeout = Some(limits.connect_timeout);
    peer.options.read_timeout = match upgrade {
        RequestedUpgrade::None | RequestedUpgrade::Other => Some(limits.upstream_timeout),
        RequestedUpgrade::WebSocket => None,
    };
    peer.options.write_timeout = Some(limits.upstream_timeout);
    peer.options.idle_timeout = Some(limits.upstream_idle);
    peer
}

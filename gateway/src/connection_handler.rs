//! Connections of clients: how many there may be, and their requests one after the other.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gatepost_edge::{ClientSlot, PerClientLimiter, client_ip};
use gatepost_runtime::{Task, catch};
use pingora::apps::{HttpServerApp as _, ReusedHttpStream};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use crate::connector::UpstreamConnector;
use crate::header_guard::GuardedStream;
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::snapshot::{CurrentSnapshot, Snapshot};

/// Seconds for which a connection may wait for its first request. The header's deadline is before that.
const FIRST_KEEPALIVE_S: u64 = 60;

/// The application that serves the requests of connections.
pub(crate) type App = HttpProxy<Proxy, UpstreamConnector>;

/// Serves connections, if there may be one more.
pub(crate) struct ConnectionHandler {
    metrics: Arc<Metrics>,
    current: CurrentSnapshot,
    open_count: Arc<AtomicUsize>,
    per_client: PerClientLimiter,
}

impl ConnectionHandler {
    pub(crate) fn new(metrics: Arc<Metrics>, current: CurrentSnapshot) -> Self {
        Self { metrics, current, open_count: Arc::default(), per_client: PerClientLimiter::default() }
    }

    /// Serves a connection until it ends.
    pub(crate) async fn serve(&self, app: Arc<App>, stream: Stream, shutdown: ShutdownWatch) {
        let digest = stream.get_socket_digest();
        let address =
            digest.and_then(|digest| digest.peer_addr()?.as_inet().map(|address| address.ip().to_canonical()));
        let (header_timeout, max_requests, slot) = {
            let snapshot = self.current.load();
            let limits = &snapshot.limits;
            (limits.header_timeout, limits.max_requests_per_connection, self.try_acquire_slot(address, &snapshot))
        };
        let Some(_slot) = slot else { return };
        let stream = Box::new(GuardedStream::new(stream, header_timeout));
        let serving = serve_requests(app, stream, shutdown, max_requests);
        // One that panics is closed; it was counted and logged.
        let _ = catch(Task::GatewayConnection, serving).await;
    }

    /// A place for a connection; none if there are too many.
    fn try_acquire_slot(&self, address: Option<IpAddr>, snapshot: &Snapshot) -> Option<ConnectionSlot> {
        let refused = |reason| {
            self.metrics.refused_connections.with_label_values(&[reason]).inc();
            None
        };
        let open = OpenConnection::register(&self.open_count, &self.metrics);
        if open.open_before >= snapshot.limits.max_connections {
            return refused("too-many");
        }
        // A trusted proxy has the connections of all its clients.
        let client_slot = address
            .filter(|address| !client_ip::is_trusted(address, &snapshot.policy.trusted_proxies))
            .map(|address| self.per_client.try_acquire(address, snapshot.limits.max_connections_per_address));
        match client_slot {
            Some(None) => refused("too-many-of-address"),
            Some(client_slot) => Some(ConnectionSlot { _open: open, _client_slot: client_slot }),
            None => Some(ConnectionSlot { _open: open, _client_slot: None }),
        }
    }
}

/// Serves one request after the other, as Pingora does where it has no protocol of one's own to serve.
async fn serve_requests(app: Arc<App>, stream: Stream, shutdown: ShutdownWatch, max_requests: u32) {
    let mut session = ServerSession::new_http1(stream);
    // How long it waits for the next request is set with the first one.
    let keepalive = if *shutdown.borrow() { None } else { Some(FIRST_KEEPALIVE_S) };
    session.set_keepalive(keepalive);
    session.set_keepalive_reuses_remaining(Some(max_requests));
    let mut reused = app.process_new_http(session, &shutdown).await;
    while let Some((stream, settings)) = reused.map(ReusedHttpStream::consume) {
        let mut session = ServerSession::new_http1(stream);
        if let Some(settings) = settings {
            settings.apply_to_session(&mut session);
        }
        reused = app.process_new_http(session, &shutdown).await;
    }
}

/// A connection that counts until it is dropped.
struct ConnectionSlot {
    _open: OpenConnection,
    _client_slot: Option<ClientSlot>,
}

/// One of all connections.
struct OpenConnection {
    /// How many there were before.
    open_before: usize,
    count: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl OpenConnection {
    fn register(count: &Arc<AtomicUsize>, metrics: &Arc<Metrics>) -> Self {
        metrics.connections.inc();
        let open_before = count.fetch_add(1, Ordering::AcqRel);
        Self { open_before, count: Arc::clone(count), metrics: Arc::clone(metrics) }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
        self.metrics.connections.dec();
    }
}

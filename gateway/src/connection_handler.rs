//! Connections of clients: the requests of each, one after the other.

use std::sync::Arc;

use gatepost_runtime::{Task, catch};
use pingora::apps::{HttpServerApp as _, ReusedHttpStream};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use crate::connection_limits::ConnectionLimits;
use crate::connector::UpstreamConnector;
use crate::header_guard::GuardedStream;
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::snapshot::CurrentSnapshot;

/// Limit in seconds for the first request of a connection. The header's deadline comes earlier.
const FIRST_KEEPALIVE_S: u64 = 60;

/// The application that serves the requests of connections.
pub(crate) type App = HttpProxy<Proxy, UpstreamConnector>;

/// Serves connections within their limits.
pub(crate) struct ConnectionHandler {
    current: CurrentSnapshot,
    limits: ConnectionLimits,
}

impl ConnectionHandler {
    pub(crate) fn new(metrics: Arc<Metrics>, current: CurrentSnapshot) -> Self {
        Self { current, limits: ConnectionLimits::new(metrics) }
    }

    /// Serves a connection until it ends.
    pub(crate) async fn serve(&self, app: Arc<App>, stream: Stream, shutdown: ShutdownWatch) {
        let digest = stream.get_socket_digest();
        let address =
            digest.and_then(|digest| digest.peer_addr()?.as_inet().map(|address| address.ip().to_canonical()));
        let (header_timeout, max_requests, slot) = {
            let snapshot = self.current.load();
            let slot = self.limits.try_acquire(address, &snapshot);
            (snapshot.limits.header_timeout, snapshot.limits.max_requests_per_connection, slot)
        };
        let Some(_slot) = slot else { return };
        let stream = Box::new(GuardedStream::new(stream, header_timeout));
        let serving = serve_requests(app, stream, shutdown, max_requests);
        // A panic closes the connection. It was counted and logged.
        let _ = catch(Task::GatewayConnection, serving).await;
    }
}

/// Serves one request after the other, as Pingora does for connections without a custom protocol.
async fn serve_requests(app: Arc<App>, stream: Stream, shutdown: ShutdownWatch, max_requests: u32) {
    let mut session = ServerSession::new_http1(stream);
    // The first request sets the limit for the following ones.
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

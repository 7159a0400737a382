//! Connections of clients: how many there may be, and their requests one after the other.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gatepost_runtime::{Task, catch};
use pingora::apps::{HttpServerApp as _, ReusedHttpStream};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use crate::connector::UpstreamConnector;
use crate::metrics::Metrics;
use crate::options::Limits;
use crate::proxy::Proxy;
use crate::watched;

/// Seconds for which a connection may wait for its first request. The header's deadline is before that.
const FIRST_KEEPALIVE_S: u64 = 60;

/// The application that serves the requests of connections.
pub(crate) type App = HttpProxy<Proxy, UpstreamConnector>;

/// Serves connections, if there may be one more.
pub(crate) struct Connections {
    metrics: Arc<Metrics>,
    limits: Limits,
    open: Arc<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Connections {
    pub(crate) fn new(metrics: Arc<Metrics>, limits: Limits) -> Self {
        Self { metrics, limits, open: Arc::default() }
    }

    /// Serves a connection until it ends.
    pub(crate) async fn serve(&self, app: Arc<App>, stream: Stream, shutdown: ShutdownWatch) {
        let digest = stream.get_socket_digest();
        let address =
            digest.and_then(|digest| digest.peer_addr()?.as_inet().map(|address| address.ip().to_canonical()));
        let Some(_place) = self.enter(address) else { return };
        let max_requests = self.limits.max_requests_per_connection;
        let serve = |stream| serve_requests(app, stream, shutdown, max_requests);
        let serving = watched::watch(stream, self.limits.header_timeout, serve);
        // One that panics is closed; it was counted and logged.
        let _ = catch(Task::GatewayConnection, serving).await;
    }

    /// A place for a connection; none if there are too many.
    fn enter(&self, address: Option<IpAddr>) -> Option<Place> {
        let reason = match self.open.enter(address, &self.limits) {
            Ok(()) => {
                self.metrics.connections.inc();
                return Some(Place { open: Arc::clone(&self.open), metrics: Arc::clone(&self.metrics), address });
            }
            Err(reason) => reason,
        };
        self.metrics.refused_connections.with_label_values(&[reason]).inc();
        None
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

impl Open {
    fn enter(&self, address: Option<IpAddr>, limits: &Limits) -> Result<(), &'static str> {
        if self.all.fetch_add(1, Ordering::AcqRel) >= limits.max_connections {
            self.all.fetch_sub(1, Ordering::AcqRel);
            return Err("too-many");
        }
        let Some(address) = address else { return Ok(()) };
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(address).or_insert(0);
        if *count >= limits.max_connections_per_address {
            self.all.fetch_sub(1, Ordering::AcqRel);
            return Err("too-many-of-address");
        }
        *count += 1;
        Ok(())
    }

    fn leave(&self, address: Option<IpAddr>) {
        self.all.fetch_sub(1, Ordering::AcqRel);
        let Some(address) = address else { return };
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

/// A connection that counts until it is dropped.
struct Place {
    open: Arc<Open>,
    metrics: Arc<Metrics>,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.leave(self.address);
        self.metrics.connections.dec();
    }
}

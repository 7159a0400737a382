//! Connections of clients: the requests of each, one after the other.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost_edge::{HttpsRedirect, client_ip};
use gatepost_runtime::error_chain;
use pingora::apps::{HttpServerApp as _, ReusedHttpStream};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::app::App;
use super::connection_limits::{ConnectionLimits, ConnectionSlot};
use super::proxy_header::{ProxyHeaderError, read_client};
use super::socket::Socket;
use crate::header_guard::GuardedStream;
use crate::in_flight::{InFlight, InFlightGuard};
use crate::metrics::Metrics;
use crate::options::ProxyProtocol;
use crate::snapshot::CurrentSnapshot;
use crate::tls::{TlsAcceptor, TlsSession, TlsSocket};
use crate::websocket_end::GoingAway;

/// Limit in seconds for the first request of a connection. The header's deadline comes earlier.
const FIRST_KEEPALIVE_S: u64 = 60;

/// How long a stop waits for the first requests of connections that were accepted before.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(2);

/// What a listener makes of its connections.
#[derive(Debug, Clone)]
pub(super) struct ConnectionSetup {
    pub(super) proxy_protocol: ProxyProtocol,
    pub(super) tls: Option<Arc<TlsAcceptor>>,
    /// Where all requests are redirected to.
    pub(super) redirect: Option<Arc<HttpsRedirect>>,
}

/// Serves connections within their limits.
pub(crate) struct ConnectionHandler {
    app: Arc<App>,
    current: CurrentSnapshot,
    metrics: Arc<Metrics>,
    limits: ConnectionLimits,
    /// Connections whose first request has not begun.
    expecting: InFlight,
    going_away: GoingAway,
}

impl ConnectionHandler {
    pub(crate) fn new(app: Arc<App>, metrics: Arc<Metrics>, current: CurrentSnapshot) -> Self {
        let limits = ConnectionLimits::new(Arc::clone(&metrics));
        Self { app, current, limits, metrics, expecting: InFlight::default(), going_away: GoingAway::default() }
    }

    /// Counts a connection that was accepted, until its first request begins or it ends.
    pub(super) fn expect_request(&self) -> InFlightGuard {
        self.expecting.enter()
    }

    /// Waits until the first request of each accepted connection has begun, for a short time at most. A client that has
    /// just connected sends it now, and would take the end of its connection for a refusal.
    pub(crate) async fn await_first_requests(&self) {
        if tokio::time::timeout(FIRST_REQUEST_GRACE, self.expecting.wait_idle()).await.is_err() {
            tracing::debug!("clients that have sent no request are disconnected");
        }
    }

    /// Ends all WebSockets, and tells their clients.
    pub(crate) fn end_websockets(&self) {
        self.going_away.begin();
    }

    /// Closes the connections that wait for a request, and those of requests in flight after their responses.
    pub(crate) async fn close_idle(&self) {
        self.app.http_cleanup().await;
    }

    /// Serves a connection until it ends. It counts from its first byte on, so also while it shakes hands.
    pub(super) async fn serve(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        setup: ConnectionSetup,
        stopped: &watch::Receiver<bool>,
        before_request: InFlightGuard,
    ) {
        let (header_timeout, max_requests, slot) = {
            let snapshot = self.current.load();
            let slot = self.limits.try_acquire(peer.ip().to_canonical(), &snapshot);
            (snapshot.limits.header_timeout, snapshot.limits.max_requests_per_connection, slot)
        };
        let Some(slot) = slot else { return };
        let (client, _slot) = match setup.proxy_protocol {
            ProxyProtocol::Off => (peer, slot),
            ProxyProtocol::Required => match self.find_proxied_client(&mut stream, peer, slot).await {
                Some(found) => found,
                None => return,
            },
        };
        // One that has ended already needs no answer.
        let Ok(socket) = Socket::new(stream, client) else { return };
        let Some((stream, session)) = self.secure(socket, setup.tls.as_deref()).await else { return };
        let stream = GuardedStream::new(stream, session, setup.redirect, header_timeout, self.going_away.clone());
        let stream = Box::new(stream.hold_until_request(before_request));
        self.serve_requests(stream, stopped, max_requests).await;
    }

    /// Returns the client that a proxy names at the start of a connection, or the proxy itself if it names none, with
    /// the slot of that client. None if there is no header from a trusted proxy, which was counted, or if there is no
    /// slot.
    async fn find_proxied_client(
        &self,
        stream: &mut TcpStream,
        proxy: SocketAddr,
        slot: ConnectionSlot,
    ) -> Option<(SocketAddr, ConnectionSlot)> {
        let is_trusted = client_ip::is_trusted(&proxy.ip().to_canonical(), &self.current.load().policy.trusted_proxies);
        let named = if is_trusted { read_client(stream).await } else { Err(ProxyHeaderError::Untrusted) };
        self.metrics.record_proxy_header(named.as_ref().err());
        match named {
            Ok(None) => Some((proxy, slot)),
            Ok(Some(client)) => {
                let slot = self.limits.reassign(slot, client.ip().to_canonical(), &self.current.load())?;
                Some((client, slot))
            }
            Err(error) => {
                tracing::debug!(%proxy, error = %error_chain(&error), "a connection without a PROXY header was closed");
                None
            }
        }
    }

    /// Returns the stream of requests, with its TLS; none if the handshake failed, which was counted.
    async fn secure(&self, socket: Socket, tls: Option<&TlsAcceptor>) -> Option<(Stream, Option<Arc<TlsSession>>)> {
        let Some(tls) = tls else { return Some((Box::new(socket), None)) };
        let accepted = tls.accept(Box::new(socket)).await;
        self.metrics.tls.record_handshake(accepted.as_ref().err());
        match accepted {
            Ok(stream) => {
                let session = Arc::new(TlsSession::of(stream.get_ref().1));
                Some((Box::new(TlsSocket(stream.into())), Some(session)))
            }
            Err(error) => {
                tracing::debug!(error = %error_chain(&error), "a TLS handshake failed");
                None
            }
        }
    }

    /// Serves one request after the other, as Pingora does for connections that it accepts.
    async fn serve_requests(&self, stream: Stream, stopped: &watch::Receiver<bool>, max_requests: u32) {
        let mut session = ServerSession::new_http1(stream);
        // The first request sets the limit for the following ones.
        let keepalive = if *stopped.borrow() { None } else { Some(FIRST_KEEPALIVE_S) };
        session.set_keepalive(keepalive);
        session.set_keepalive_reuses_remaining(Some(max_requests));
        let mut reused = self.app.process_new_http(session, stopped).await;
        while let Some((stream, settings)) = reused.map(ReusedHttpStream::consume) {
            // The proxy closes connections that wait already. This one would wait from now on.
            if *stopped.borrow() {
                return;
            }
            let mut session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            reused = self.app.process_new_http(session, stopped).await;
        }
    }
}

impl fmt::Debug for ConnectionHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionHandler").finish_non_exhaustive()
    }
}

//! State of the header that is being read on an HTTP/1 connection, shared by its stream and the phases of its
//! requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use gatepost_edge::HttpsRedirect;
use pingora::http::ResponseHeader;
use pingora::protocols::Digest;
use pingora::protocols::raw_connect::ProxyDigest;

use crate::peer_ip::PeerIp;
use crate::request_framing::BodyFraming;
use crate::tls::TlsSession;

/// The state of one connection. The phases reach it through the session's digest, in whichever task they run; a
/// connection of HTTP/2 has none.
#[derive(Debug)]
pub(crate) struct HeaderState {
    is_header_read: AtomicBool,
    is_request_line_invalid: AtomicBool,
    is_tunnel: AtomicBool,
    /// Body behind the header that was read.
    body: Mutex<BodyFraming>,
    /// None on a plain connection.
    tls: Option<Arc<TlsSession>>,
    /// None if requests are authorized.
    redirect: Option<Arc<HttpsRedirect>>,
    /// Address of the client, as text too: made once for all requests.
    peer_ip: OnceLock<Option<PeerIp>>,
}

impl HeaderState {
    pub(crate) fn new(tls: Option<Arc<TlsSession>>, redirect: Option<Arc<HttpsRedirect>>) -> Self {
        Self {
            is_header_read: AtomicBool::new(false),
            is_request_line_invalid: AtomicBool::new(false),
            is_tunnel: AtomicBool::new(false),
            body: Mutex::new(BodyFraming::EMPTY),
            tls,
            redirect,
            peer_ip: OnceLock::new(),
        }
    }

    /// Returns the digest by which a session's phases find the state. There is no proxy in between: it is the one
    /// place in a digest for data of one's own.
    pub(crate) fn digest(self: &Arc<Self>) -> Arc<ProxyDigest> {
        let response = Box::new(ResponseHeader::build(200, Some(0)).expect("200 is a status"));
        Arc::new(ProxyDigest::new(response, Some(Box::new(Arc::clone(self)))))
    }

    /// Returns the state behind a session's digest.
    pub(crate) fn of(digest: Option<&Digest>) -> Option<&Self> {
        let user_data = digest?.proxy_digest.as_ref()?.user_data.as_ref()?;
        user_data.downcast_ref::<Arc<Self>>().map(Arc::as_ref)
    }

    /// Ends the header: the bytes that follow are of a body, of which [`HeaderState::set_body`] says more.
    pub(crate) fn mark_header_read(&self) {
        self.set_body(BodyFraming::EMPTY);
        self.is_header_read.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_header_read(&self) -> bool {
        self.is_header_read.load(Ordering::Relaxed)
    }

    /// Begins the next header: the bytes that follow are of another request.
    pub(crate) fn expect_next_header(&self) {
        self.is_header_read.store(false, Ordering::Relaxed);
    }

    pub(crate) fn set_request_line_invalid(&self, is_invalid: bool) {
        self.is_request_line_invalid.store(is_invalid, Ordering::Relaxed);
    }

    /// Returns whether the request line had the strict form of RFC 9112 section 3.
    pub(crate) fn is_request_line_valid(&self) -> bool {
        !self.is_request_line_invalid.load(Ordering::Relaxed)
    }

    pub(crate) fn tls(&self) -> Option<&Arc<TlsSession>> {
        self.tls.as_ref()
    }

    pub(crate) fn redirect(&self) -> Option<&Arc<HttpsRedirect>> {
        self.redirect.as_ref()
    }

    /// Returns the address of the client, which the first request of the connection looks up.
    pub(crate) fn peer_ip(&self, look_up: impl FnOnce() -> Option<PeerIp>) -> Option<PeerIp> {
        self.peer_ip.get_or_init(look_up).clone()
    }

    /// Turns all further bytes of the connection into those of a WebSocket, those of the response first.
    pub(crate) fn open_tunnel(&self) {
        self.set_body(BodyFraming::Tunnel);
        self.is_tunnel.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_tunnel(&self) -> bool {
        self.is_tunnel.load(Ordering::Relaxed)
    }

    pub(crate) fn set_body(&self, body: BodyFraming) {
        *self.body() = body;
    }

    pub(crate) fn body(&self) -> MutexGuard<'_, BodyFraming> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

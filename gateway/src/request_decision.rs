//! The decision about a session's request: describes the request for the edge, whatever its version of HTTP.

use gatepost_domain::problem::ErrorCode;
use gatepost_edge::{Authorizer, BodyLength, Decision, HttpsRedirect, MessageError, Policy, RequestView};
use http::uri::Authority;
use pingora::protocols::http::ServerSession;

use crate::http1_header;
use crate::http2_header;
use crate::peer_ip::PeerIp;
use crate::request_framing::BodyFraming;
use crate::snapshot::Backend;
use crate::tls::TlsListeners;

/// Decides on a request whose header was read.
pub(crate) async fn decide(
    session: &mut ServerSession,
    authorizer: &Authorizer,
    policy: &Policy<Backend>,
    peer: Option<&PeerIp>,
) -> Decision<Backend> {
    if session.is_http2() {
        let body = http2_header::body_length(session);
        let header_bytes = http2_header::size(&session.req_header().headers);
        return authorizer.authorize(policy, &view(session, header_bytes, body, peer)).await;
    }
    let Ok(state) = http1_header::finish(session) else { return Decision::invalid(ErrorCode::BadRequest) };
    let raw = session.to_h1_raw();
    let body = http1_header::check(session.req_header(), &raw);
    let decision = authorizer.authorize(policy, &view(session, raw.len(), body, peer)).await;
    if decision.body != BodyLength::EMPTY {
        state.set_body(BodyFraming::from(decision.body));
    }
    decision
}

/// Decides on a request, whose header was read, to a listener that only redirects. Known are the hosts of routes and
/// certificates.
pub(crate) fn redirect(
    session: &mut ServerSession,
    redirect: &HttpsRedirect,
    policy: &Policy<Backend>,
    tls_listeners: &TlsListeners,
) -> Decision<Backend> {
    let Ok(state) = http1_header::finish(session) else { return Decision::invalid(ErrorCode::BadRequest) };
    let raw = session.to_h1_raw();
    let body = http1_header::check(session.req_header(), &raw);
    let is_known = |host: &str| policy.routes.have_host(host) || tls_listeners.have_host(host);
    let decision = redirect.decide(&view(session, raw.len(), body, None), &policy.routes, is_known);
    if decision.body != BodyLength::EMPTY {
        state.set_body(BodyFraming::from(decision.body));
    }
    decision
}

fn view<'a>(
    session: &'a ServerSession,
    header_bytes: usize,
    body: Result<BodyLength, MessageError>,
    peer: Option<&PeerIp>,
) -> RequestView<'a> {
    let request = session.req_header();
    RequestView {
        method: &request.method,
        version: request.version,
        target: request.raw_path(),
        authority: if session.is_http2() { request.uri.authority().map(Authority::as_str) } else { None },
        headers: &request.headers,
        header_bytes,
        body,
        peer: peer.map(|peer| peer.ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;
    use std::time::Duration;

    use gatepost_domain::permit::{EnvRule, Requirement};
    use gatepost_domain::time::Clock;
    use gatepost_edge::{Auth, AuthorizedAs, RequestAction, RouteOptions};
    use gatepost_limits::{OutagePolicy, RateLimiter};
    use gatepost_store::clock::SystemClock;
    use gatepost_store::{MasterKey, Store, StoreOptions, StoreUrl, os_rng};
    use gatepost_verify::VerifyOptions;
    use pingora::protocols::Digest;
    use pingora::protocols::http::v2::server::{H2Accept, HttpSession, handshake};
    use prometheus::Registry;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use crate::header_rules::StripMode;
    use crate::metrics::Metrics;
    use crate::options::{GatewayLimits, GatewayOptions, UpstreamOptions};
    use crate::snapshot::Snapshot;
    use crate::tls::TlsMaterials;

    /// Preface, SETTINGS, and `GET /` of `http://a` as one HEADERS frame of HPACK's static table.
    const HTTP2_REQUEST: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
        \x00\x00\x00\x04\x00\x00\x00\x00\x00\
        \x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x01a";

    async fn send(bytes: &[u8]) -> (DuplexStream, DuplexStream) {
        let (mut client, server) = duplex(4096);
        client.write_all(bytes).await.unwrap();
        (client, server)
    }

    async fn authorizer() -> Authorizer {
        let (clock, registry): (Arc<dyn Clock>, Registry) = (Arc::new(SystemClock), Registry::new());
        let options = StoreOptions::new(StoreUrl::Memory, Arc::clone(&clock));
        let store = Store::open_or_create(&options, &MasterKey::generate(&mut os_rng())).await.unwrap();
        let options = VerifyOptions {
            cache_capacity: 1000,
            negative_capacity: 100,
            max_stale: Duration::from_secs(60),
            max_lookups: 100,
            max_wrong_keys_a_minute: 600,
            name: "test".to_owned(),
        };
        let limiter =
            RateLimiter::start(store.single_cell().clone(), Arc::clone(&clock), OutagePolicy::Local, &registry)
                .unwrap();
        let sync = gatepost_verify::start(store.cells().to_vec(), clock, &options, limiter, &registry).await.unwrap();
        Authorizer::new(sync.verifier(), &registry).unwrap()
    }

    async fn snapshot(auth: Auth) -> Snapshot {
        let route = RouteOptions {
            host: Some("a".to_owned()),
            path: "/".to_owned(),
            methods: vec![],
            upstream: "app".to_owned(),
            auth,
            credential: vec![],
            requirement: Requirement { projects: vec![], env: EnvRule::Any, permissions: vec![] },
            ..RouteOptions::default()
        };
        let upstream = UpstreamOptions::plain("app", vec!["127.0.0.1:1".to_owned()]);
        let options = GatewayOptions {
            routes: vec![route],
            upstreams: vec![upstream],
            trusted_proxies: vec![],
            strip: StripMode::Default,
            pass_headers: vec![],
            limits: GatewayLimits::default(),
            trace: None,
        };
        let metrics = Metrics::register(&Registry::new()).unwrap();
        Snapshot::build(options, &mut TlsMaterials::default(), &metrics, None).await.unwrap().snapshot
    }

    /// Decides in another task than the one that reads the connection, as Pingora does for each HTTP/2 stream.
    async fn decide_in_a_task(mut session: ServerSession, auth: Auth) -> RequestAction {
        let (authorizer, snapshot) = (authorizer().await, snapshot(auth).await);
        let deciding =
            tokio::spawn(async move { decide(&mut session, &authorizer, &snapshot.policy, None).await.action });
        deciding.await.unwrap()
    }

    #[tokio::test]
    async fn http2_request_needs_no_guard() {
        for (auth, expected) in [
            (Auth::Off, RequestAction::Forward(AuthorizedAs::Anonymous)),
            (Auth::Required, RequestAction::Reject(ErrorCode::MissingKey)),
        ] {
            let (_client, server) = send(HTTP2_REQUEST).await;
            let mut connection = handshake(Box::new(server), None).await.unwrap();
            let accepted = HttpSession::from_h2_conn(&mut connection, Arc::new(Digest::default())).await.unwrap();
            let Some(H2Accept::Session(stream)) = accepted else { panic!("no stream was accepted") };
            assert_eq!(decide_in_a_task(ServerSession::new_http2(stream), auth).await, expected);
        }
    }

    #[tokio::test]
    async fn http1_request_without_a_guard_is_rejected() {
        let (_client, server) = send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut session = ServerSession::new_http1(Box::new(server));
        session.read_request().await.unwrap();
        assert_eq!(decide_in_a_task(session, Auth::Off).await, RequestAction::Reject(ErrorCode::BadRequest));
    }
}

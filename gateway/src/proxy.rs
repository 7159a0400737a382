//! The phases of a request, by Pingora's names and in its order. Each decides; the other files compute.

use std::os::fd::RawFd;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gatepost_domain::log_text::LogFormat;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::time::Clock;
use gatepost_edge::{Authorizer, Decision, RequestAction};
use gatepost_runtime::LogWriter;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::HttpPeer;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::{Error, ErrorType};
use tokio::time::Instant;

use crate::access_log::{AccessLogLine, EndedRequest};
use crate::context::Context;
use crate::header_state::HeaderState;
use crate::in_flight::InFlight;
use crate::metrics::{Metrics, TryResult};
use crate::peer_ip::PeerIp;
use crate::request_id::RequestIds;
use crate::response_rewrite::{self, BodyDelimiter};
use crate::snapshot::{Backend, CurrentSnapshot, Route};
use crate::tls::TlsListeners;
use crate::trace::Trace;
use crate::upstream;
use crate::upstream_exchange::{self, RequestedUpgrade};
use crate::{access_log, failure, local_reply, request_decision, response_headers, upstream_headers, upstream_target};

/// Results of `request_filter`.
const RESPONSE_SENT: bool = true;
const CONTINUE: bool = false;

/// Application behind Pingora's phases. Clones share all of it.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) current: CurrentSnapshot,
    pub(crate) authorizer: Authorizer,
    pub(crate) tls_listeners: TlsListeners,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log_writer: Arc<LogWriter>,
    pub(crate) log_format: LogFormat,
    pub(crate) request_ids: Arc<RequestIds>,
    pub(crate) in_flight: InFlight,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(self.current.load(), self.request_ids.next(), self.in_flight.enter())
    }

    /// Sets the limits of the connection, and notes where it comes from.
    async fn early_request_filter(&self, session: &mut Session, context: &mut Context) -> pingora::Result<()> {
        let limits = &context.snapshot.limits;
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(limits.keepalive.as_secs()));
        }
        session.set_read_timeout(Some(limits.body_timeout));
        session.set_write_timeout(Some(limits.body_timeout));
        session.set_total_drain_timeout(Some(limits.body_timeout));
        if session.req_header().version == Version::HTTP_10 {
            // HTTP/1.0 has no interim responses (RFC 9110 section 15.2).
            session.set_ignore_info_resp(true);
        }
        match HeaderState::of(session.digest()) {
            Some(state) => {
                context.peer_ip = state.peer_ip(|| PeerIp::of(session));
                context.tls = state.tls().cloned();
                context.redirect = state.redirect().cloned();
            }
            None => context.peer_ip = PeerIp::of(session),
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> pingora::Result<bool> {
        let (policy, peer) = (&context.snapshot.policy, context.peer_ip.as_ref());
        let decision = match &context.redirect {
            None => request_decision::decide(session, &self.authorizer, policy, peer).await,
            Some(redirect) => request_decision::redirect(session, redirect, policy, &self.tls_listeners),
        };
        context.trace = context
            .snapshot
            .trace
            .map(|options| Trace::of(&session.req_header().headers, decision.peer_trust, options));
        match context.decision.insert(decision).action {
            RequestAction::Forward(_) => Ok(CONTINUE),
            RequestAction::ServerOptions => {
                local_reply::send_server_options(session, context).await?;
                Ok(RESPONSE_SENT)
            }
            RequestAction::Respond(status) => {
                local_reply::send_status(session, status, context).await?;
                Ok(RESPONSE_SENT)
            }
            RequestAction::Redirect => {
                local_reply::send_redirect(session, context).await?;
                Ok(RESPONSE_SENT)
            }
            RequestAction::Reject(code) => {
                local_reply::send_problem(session, code, context).await?;
                Ok(RESPONSE_SENT)
            }
        }
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        context: &mut Context,
    ) -> pingora::Result<()> {
        if session.was_upgraded() {
            return Ok(());
        }
        context.body_bytes += body.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let max_body_bytes = context.route().and_then(|route| route.max_body_bytes);
        if context.body_bytes > max_body_bytes.unwrap_or(context.snapshot.limits.max_body_bytes) {
            return Err(Error::new(ErrorType::HTTPStatus(ErrorCode::BodyTooLarge.status())));
        }
        Ok(())
    }

    async fn upstream_peer(&self, session: &mut Session, context: &mut Context) -> pingora::Result<Box<HttpPeer>> {
        let Backend { upstream, upstream_timeout, .. } = &forwarded(context)?.route.backend;
        let upstream_timeout = *upstream_timeout;
        let Some(server) = upstream.as_ref().and_then(|route| route.upstream.choose(self.clock.as_ref())) else {
            record_try(context, TryResult::Connect);
            return Err(Error::explain(ErrorType::ConnectNoRoute, "no name of the upstream was resolved").into_up());
        };
        context.requested_upgrade = requested_upgrade(session.req_header());
        let tls = server.tls.as_ref().map(|tls| tls.current());
        let limits = &context.snapshot.limits;
        let peer = upstream::http_peer(&server, tls.as_deref(), context.requested_upgrade, upstream_timeout, limits);
        context.server = Some(server);
        context.upstream_tls = tls;
        // Nothing waits between a check and the choice, which saves a look at the clock.
        let checked = context.key_check().and_then(|check| check.ended);
        context.upstream_chosen.get_or_insert_with(|| checked.unwrap_or_else(Instant::now));
        Ok(Box::new(peer))
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _fd: RawFd,
        digest: Option<&Digest>,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let handshake_timeout = forwarded(context)?.route.backend.upstream_timeout;
        upstream_exchange::begin(digest, context.requested_upgrade, handshake_timeout);
        Ok(())
    }

    /// Edits the request for the upstream. Pingora has removed hop-by-hop fields before.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let forwarded = forwarded(context)?;
        upstream_headers::rewrite(request, forwarded.decision, forwarded.route, context);
        if session.req_header().version == Version::HTTP_10 {
            convert_to_http11(request, context)?;
        }
        if context.requested_upgrade == RequestedUpgrade::Other {
            request.remove_header(&UPGRADE);
            request.remove_header(&CONNECTION);
        }
        let client_target = session.req_header().raw_path();
        if let Some(target) = &forwarded.decision.target
            && let Some(target) = upstream_target::rewrite(
                target,
                client_target,
                forwarded.route.backend.stripped_segments,
                &forwarded.route.page_credentials,
            )
        {
            request.set_raw_path(&target)?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let is_final = !is_interim(response.status);
        if is_final {
            record_header(context);
        }
        if response_rewrite::rewrite(response, session.req_header())? == BodyDelimiter::ConnectionClose {
            session.set_keepalive(None);
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            // From here on the stream to the upstream limits the silence of both sides.
            session.set_read_timeout(None);
            if let Some(state) = HeaderState::of(session.digest()) {
                state.open_tunnel();
            }
        }
        if is_final {
            response_headers::apply_edits(response, context)?;
        }
        response_headers::add_request_id(response, context)?;
        response_headers::add_sunset_and_rate_limit(response, context)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        context: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        record_try(context, failure::try_result(&error));
        let route_upstream = context.route().and_then(|route| route.backend.upstream.as_ref());
        if let (Some(server), Some(route_upstream)) = (&context.server, route_upstream) {
            route_upstream.upstream.eject(server, self.clock.as_ref());
        }
        // Nothing was sent yet, so another server may be tried.
        error.set_retry(true);
        error
    }

    /// Decides on another try as Pingora does by default.
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        context: &mut Context,
        is_reused: bool,
    ) -> Box<Error> {
        record_try(context, failure::try_result(&error));
        if session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated() {
            error.retry.decide_reuse(is_reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, context: &mut Context) -> FailToProxy {
        let Some(code) = failure::error_code(error) else {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        session.set_keepalive(None);
        let is_response_sent = session.response_written().is_some_and(|response| !is_interim(response.status));
        if !is_response_sent && let Err(error) = local_reply::send_problem(session, code, context).await {
            failure::log(&error, context.request_id.as_str());
        }
        FailToProxy { error_code: code.status(), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, context: &mut Context) {
        if let Some(error) = error {
            failure::log(error, context.request_id.as_str());
        }
        if !session.is_body_done() {
            // The next bytes on this connection are not a header.
            session.set_keepalive(None);
        }
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let ended = Instant::now();
        let duration = ended.duration_since(context.started);
        if error.is_none() && context.server.is_some() {
            record_try(context, TryResult::Response);
        }
        let counters = context.route().map(|route| &route.backend.counters);
        self.metrics.record_request(counters, context.outcome(), status, duration);
        if access_log::is_enabled() {
            self.log_access(session, error, context, status, ended);
        }
        if let Some(state) = HeaderState::of(session.digest()) {
            state.expect_next_header();
        }
    }

    /// Suppresses all: a failure of a client or an upstream is in the access log, in the line of its request.
    fn suppress_error_log(&self, _session: &Session, _context: &Context, _error: &Error) -> bool {
        true
    }
}

impl Proxy {
    fn log_access(&self, session: &Session, error: Option<&Error>, context: &Context, status: u16, ended: Instant) {
        let request = session.req_header();
        let credentials = access_log::presented_credentials(request, context);
        let path = access_log::canonical_path(request.raw_path(), context);
        let reason = match (context.reason(), error) {
            (Some(reason), _) => reason,
            (None, Some(error)) => failure::reason(error),
            (None, None) => "",
        };
        let request = EndedRequest {
            protocol: access_log::protocol(request.version),
            method: &access_log::mask_credentials(request.method.as_str(), &credentials),
            path: &access_log::mask_credentials(path, &credentials),
            status,
            reason,
            bytes_received: session.body_bytes_read(),
            bytes_sent: session.body_bytes_sent(),
            duration: ended.duration_since(context.started),
            upstream_duration: context.waited_for_upstream(ended),
        };
        AccessLogLine::new(context, request, self.clock.now()).write(&self.log_writer, self.log_format);
    }
}

fn record_header(context: &mut Context) {
    let waited = context.upstream_chosen.map(|chosen| chosen.elapsed());
    context.upstream_wait = waited;
    if let (Some(counters), Some(waited)) = (context.upstream_counters(), waited) {
        counters.record_header(waited);
    }
}

fn record_try(context: &Context, result: TryResult) {
    if let Some(counters) = context.upstream_counters() {
        counters.record_try(result);
    }
}

/// Turns an HTTP/1.0 request, which may have no host and has no expectations, into one of HTTP/1.1.
fn convert_to_http11(request: &mut RequestHeader, context: &Context) -> pingora::Result<()> {
    request.remove_header(&EXPECT);
    if let Some(server) = context.server.as_ref().filter(|_| !request.headers.contains_key(HOST)) {
        request.insert_header(HOST, server.host.clone())?;
    }
    Ok(())
}

/// A request that may go upstream.
struct Forwarded<'a> {
    decision: &'a Decision<Backend>,
    route: &'a Route,
}

/// Returns the decision that lets a request go upstream. Phases after it fail closed without one.
fn forwarded(context: &Context) -> pingora::Result<Forwarded<'_>> {
    match (&context.decision, context.route()) {
        (Some(decision), Some(route)) if matches!(decision.action, RequestAction::Forward(_)) => {
            Ok(Forwarded { decision, route })
        }
        (_, _) => Err(Error::explain(ErrorType::InternalError, "the request was not authorized")),
    }
}

/// Returns the protocol switch that a request asks for. Only a WebSocket without a body (RFC 6455 section 4.1) goes
/// upstream.
fn requested_upgrade(request: &RequestHeader) -> RequestedUpgrade {
    let Some(protocol) = request.headers.get(UPGRADE) else { return RequestedUpgrade::None };
    let is_websocket = protocol.as_bytes().eq_ignore_ascii_case(b"websocket") && request.version == Version::HTTP_11;
    let has_body = request.headers.contains_key(TRANSFER_ENCODING)
        || request.headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    if is_websocket && !has_body { RequestedUpgrade::WebSocket } else { RequestedUpgrade::Other }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

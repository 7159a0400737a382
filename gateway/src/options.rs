//! Configuration of a gateway: routes, upstreams, limits.

use std::net::SocketAddr;
use std::time::Duration;

use gatepost_edge::{HttpsRedirect, RouteOptions};
use ipnet::IpNet;

use crate::header_rules::StripMode;
use crate::pass_header::PassHeader;
use crate::tls::{TlsOptions, UpstreamTlsOptions};
use crate::trace::TraceOptions;

#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// The longest matching path prefix wins.
    pub routes: Vec<RouteOptions>,
    pub upstreams: Vec<UpstreamOptions>,
    /// Networks whose `X-Forwarded-*` is used.
    pub trusted_proxies: Vec<IpNet>,
    /// Header names that are removed from requests.
    pub strip: StripMode,
    /// Identity headers that trusted proxies may pass upstream.
    pub pass_headers: Vec<PassHeader>,
    pub limits: GatewayLimits,
    /// If absent, the trace headers of requests are passed unchanged and not logged.
    pub trace: Option<TraceOptions>,
}

/// An address on which clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerOptions {
    /// Label in metrics and logs.
    pub name: String,
    pub address: SocketAddr,
    pub proxy_protocol: ProxyProtocol,
    /// If absent, connections are plain HTTP.
    pub tls: Option<TlsOptions>,
    /// If present, no request is authorized: each is redirected.
    pub redirect: Option<HttpsRedirect>,
}

impl ListenerOptions {
    /// Returns a listener that serves requests over plain HTTP, with its address as its name.
    pub fn plain(address: SocketAddr) -> Self {
        let proxy_protocol = ProxyProtocol::Off;
        Self { name: address.to_string(), address, proxy_protocol, tls: None, redirect: None }
    }
}

/// Whether connections begin with a header of the PROXY protocol, before TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    Off,
    /// All do, and only those of trusted proxies are accepted.
    Required,
}

/// Servers behind the name that routes use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamOptions {
    pub name: String,
    /// `host:port` of each server. All addresses of a host are used.
    pub servers: Vec<String>,
    /// If absent, connections are plain HTTP.
    pub tls: Option<UpstreamTlsOptions>,
    /// Interval at which the hosts are resolved.
    pub resolve_every: Duration,
}

impl UpstreamOptions {
    /// Default of `resolve_every`.
    pub const RESOLVE_EVERY: Duration = Duration::from_secs(10);

    /// Returns an upstream that is reached by plain HTTP.
    pub fn plain(name: &str, servers: Vec<String>) -> Self {
        Self { name: name.to_owned(), servers, tls: None, resolve_every: Self::RESOLVE_EVERY }
    }
}

/// Limits of connections, requests and waits.
#[derive(Debug, Clone)]
pub struct GatewayLimits {
    /// Cap on open connections; further ones are closed at once.
    pub max_connections: usize,
    /// Cap on open connections of one client, an IPv4 address or an IPv6 /64 network; further ones are closed at once.
    /// Trusted proxies have no such cap.
    pub max_connections_per_address: usize,
    /// Cap on requests in flight of one client behind trusted proxies; further ones get 429.
    pub max_requests_per_client: usize,
    /// Limit from the first byte of a header to its last; then the connection is closed.
    pub header_timeout: Duration,
    /// Limit for the next request of a connection.
    pub keepalive: Duration,
    /// Cap on the requests of one connection; the response to the last one closes it.
    pub max_requests_per_connection: u32,
    /// Limit for a request body; a longer one gets 413.
    pub max_body_bytes: u64,
    /// Limit between two reads or writes of a body; then the response is 408 or the connection is closed.
    pub body_timeout: Duration,
    /// Limit for connecting to an upstream.
    pub connect_timeout: Duration,
    /// Limit between two reads of an upstream's response; then the response is 504.
    pub upstream_timeout: Duration,
    /// Lifetime of an idle upstream connection.
    pub upstream_idle: Duration,
    /// Limit for the silence of a WebSocket in both directions.
    pub websocket_idle: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            max_connections: 50_000,
            max_connections_per_address: 2000,
            max_requests_per_client: 2000,
            header_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(75),
            max_requests_per_connection: 100_000,
            max_body_bytes: 100 << 20,
            body_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            upstream_timeout: Duration::from_secs(60),
            upstream_idle: Duration::from_secs(60),
            websocket_idle: Duration::from_secs(600),
        }
    }
}

//! What a gateway is told: routes, upstreams, limits.

use std::time::Duration;

use gatepost_edge::RouteOptions;
use ipnet::IpNet;

use crate::header_rules::StripMode;
use crate::pass_header::PassHeader;

/// All of it.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Routes; the longest matching path prefix wins.
    pub routes: Vec<RouteOptions>,
    /// Upstreams by name.
    pub upstreams: Vec<UpstreamOptions>,
    /// Networks whose `X-Forwarded-*` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Which header names are taken away from requests.
    pub strip: StripMode,
    /// Identity headers that trusted proxies may pass upstream.
    pub pass_headers: Vec<PassHeader>,
    /// Bounds.
    pub limits: Limits,
}

/// Servers behind a name.
#[derive(Debug, Clone)]
pub struct UpstreamOptions {
    /// The name that routes use.
    pub name: String,
    /// `host:port` of each server.
    pub servers: Vec<String>,
}

/// Bounds of connections, requests and waits.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections in all.
    pub max_connections: usize,
    /// Open connections of one client: an address, or a network of 64 bits of version 6. Not of a trusted proxy.
    pub max_connections_per_address: usize,
    /// Requests in flight of one client behind trusted proxies.
    pub max_requests_per_client: usize,
    /// From the first byte of a header to its last.
    pub header_timeout: Duration,
    /// How long a connection may wait for the next request.
    pub keepalive: Duration,
    /// Requests of one connection.
    pub max_requests_per_connection: u32,
    /// Bytes of a request body.
    pub max_body_bytes: u64,
    /// Between two reads or writes of a body.
    pub body_timeout: Duration,
    /// Until an upstream connection stands.
    pub connect_timeout: Duration,
    /// Between two reads of an upstream's answer.
    pub upstream_timeout: Duration,
    /// How long an idle upstream connection is kept.
    pub upstream_idle: Duration,
    /// How long a WebSocket may be silent in both directions.
    pub websocket_idle: Duration,
}

impl Default for Limits {
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

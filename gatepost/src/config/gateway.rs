//! `[gateway]` section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use gatepost_gateway::{DEFAULT_UPSTREAM, GatewayLimits, PassHeader, RouteOptions, StripMode, TraceOptions};
use ipnet::IpNet;

use super::listeners::{self, LocatedListener};
use super::parsers::{parse_name, parse_network, parse_non_empty};
use super::reader::{MAX_BODY_BYTES, Section, read_ms};
use super::redirect_faults::check_redirects;
use super::routes;
use super::trace;
use super::upstreams::{self, LocatedUpstream};

const STRIP_MODES: [(&str, StripMode); 2] = [("default", StripMode::Default), ("ours", StripMode::Ours)];

#[derive(Debug, Clone)]
pub(crate) struct GatewayConfig {
    /// At least one.
    pub(crate) listeners: Vec<LocatedListener>,
    /// Empty for the name of the machine and the port.
    pub(crate) name: String,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) strip: StripMode,
    pub(crate) pass_headers: Vec<PassHeader>,
    pub(crate) max_stale: Duration,
    pub(crate) cache_capacity: u64,
    pub(crate) max_wrong_keys_a_minute: u32,
    pub(crate) limits: GatewayLimits,
    /// How long a process that stops still accepts connections, although it is not ready.
    pub(crate) drain_delay: Duration,
    /// Where `gatepost reload` reaches a process on Redis.
    pub(crate) control_socket: Option<PathBuf>,
    /// None if trace headers pass unchanged.
    pub(crate) trace: Option<TraceOptions>,
    pub(crate) drain_timeout: Duration,
    pub(crate) routes: Vec<RouteOptions>,
    pub(crate) upstreams: Vec<LocatedUpstream>,
}

impl GatewayConfig {
    /// Returns what a gateway lacks to serve requests.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        // Without a route, every request would go to the upstream; a route has one, or responds by itself.
        self.routes.is_empty().then_some(
            "no upstream is configured: use --upstream http://HOST:PORT, or [gateway.upstream.app]; or configure routes \
             that respond",
        )
    }
}

pub(super) fn read(mut section: Section<'_>) -> GatewayConfig {
    let routes = routes::read(&mut section);
    let trusted_proxies = section.list("trusted_proxies", Vec::new(), parse_network);
    let config = GatewayConfig {
        listeners: listeners::read(&mut section, &trusted_proxies),
        name: section.parsed("name", String::new(), parse_name),
        trusted_proxies,
        strip: section.word("strip", StripMode::Default, &STRIP_MODES),
        pass_headers: section.list("pass_headers", Vec::new(), PassHeader::parse),
        max_stale: read_ms(&mut section, "max_stale_ms", Duration::from_secs(60), 0),
        cache_capacity: section.number("cache_capacity", 1_000_000, 1000, 100_000_000),
        max_wrong_keys_a_minute: u32::try_from(section.number("max_wrong_keys_a_minute", 600, 0, 60_000))
            .unwrap_or(u32::MAX),
        limits: read_limits(&mut section),
        drain_delay: read_ms(&mut section, "drain_delay_ms", Duration::ZERO, 0),
        control_socket: section.optional("control_socket", parse_non_empty).map(PathBuf::from),
        trace: trace::read(section.section("trace")),
        drain_timeout: read_ms(&mut section, "drain_timeout_ms", Duration::from_secs(30), 0),
        upstreams: upstreams::read(&mut section),
        routes: routes.iter().map(|route| route.options.clone()).collect(),
    };
    routes::check(&routes, &config.upstreams, &section);
    let do_routes_name_hosts = config.routes.iter().any(|route| route.host.is_some());
    check_redirects(&config.listeners, do_routes_name_hosts, &section);
    let config = with_default_route(config, &section);
    section.reject_unknown_keys();
    config
}

fn read_limits(section: &mut Section<'_>) -> GatewayLimits {
    let defaults = GatewayLimits::default();
    let count = |section: &mut Section<'_>, key, default: usize| {
        usize::try_from(section.number(key, default as u64, 1, 10_000_000)).unwrap_or(default)
    };
    GatewayLimits {
        max_connections: count(section, "max_connections", defaults.max_connections),
        max_connections_per_address: count(
            section,
            "max_connections_per_address",
            defaults.max_connections_per_address,
        ),
        header_timeout: read_ms(section, "header_timeout_ms", defaults.header_timeout, 100),
        keepalive: read_ms(section, "keepalive_ms", defaults.keepalive, 1000),
        max_body_bytes: section.number("max_body_bytes", defaults.max_body_bytes, 0, MAX_BODY_BYTES),
        connect_timeout: read_ms(section, "connect_timeout_ms", defaults.connect_timeout, 10),
        upstream_timeout: read_ms(section, "upstream_timeout_ms", defaults.upstream_timeout, 100),
        websocket_idle: read_ms(section, "websocket_idle_ms", defaults.websocket_idle, 100),
        ..defaults
    }
}

/// Adds the default route if none is configured but an upstream is.
fn with_default_route(config: GatewayConfig, section: &Section<'_>) -> GatewayConfig {
    if !config.routes.is_empty() || config.upstreams.is_empty() {
        return config;
    }
    if !config.upstreams.iter().any(|upstream| upstream.options.name == DEFAULT_UPSTREAM) {
        section.error_here("without a route all requests go to the upstream \"app\", which is not configured");
    }
    GatewayConfig { routes: vec![RouteOptions::default()], ..config }
}

//! `[gateway]` section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use gatepost_domain::id::ProjectId;
use gatepost_domain::key::Env;
use gatepost_domain::path::CanonicalPath;
use gatepost_domain::permit::{EnvRule, Requirement};
use gatepost_gateway::{
    Auth, CertificateFiles, CredentialLocation, DEFAULT_UPSTREAM, GatewayLimits, NetworkRules, PassHeader,
    RouteOptions, StripMode, TraceOptions, UpstreamOptions, UpstreamTlsOptions,
};
use http::{HeaderName, Method, StatusCode};
use ipnet::IpNet;

use super::listeners::{self, LocatedListener};
use super::parsers::{ParseSettingError, parse_name, parse_non_empty};
use super::reader::{MAX_MS, Section, read_ms};
use super::trace;
use super::tree::ValueSource;

/// Greatest limit of a body: 1 TiB.
const MAX_BODY_BYTES: u64 = 1 << 40;

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
    /// None if trace headers pass unchanged.
    pub(crate) trace: Option<TraceOptions>,
    pub(crate) drain_timeout: Duration,
    pub(crate) routes: Vec<RouteOptions>,
    pub(crate) upstreams: Vec<UpstreamOptions>,
}

pub(super) fn read(mut section: Section<'_>) -> GatewayConfig {
    let routes: Vec<LocatedRoute> = section.list_of_sections("route").into_iter().map(read_route).collect();
    let config = GatewayConfig {
        listeners: listeners::read(&mut section),
        name: section.parsed("name", String::new(), parse_name),
        trusted_proxies: section.list("trusted_proxies", Vec::new(), parse_network),
        strip: section.parsed("strip", StripMode::Default, parse_strip),
        pass_headers: section.list("pass_headers", Vec::new(), PassHeader::parse),
        max_stale: read_ms(&mut section, "max_stale_ms", Duration::from_secs(60), 0),
        cache_capacity: section.number("cache_capacity", 1_000_000, 1000, 100_000_000),
        max_wrong_keys_a_minute: u32::try_from(section.number("max_wrong_keys_a_minute", 600, 0, 60_000))
            .unwrap_or(u32::MAX),
        limits: read_limits(&mut section),
        drain_delay: read_ms(&mut section, "drain_delay_ms", Duration::ZERO, 0),
        trace: trace::read(section.section("trace")),
        drain_timeout: read_ms(&mut section, "drain_timeout_ms", Duration::from_secs(30), 0),
        upstreams: read_upstreams(&mut section),
        routes: routes.iter().map(|route| route.options.clone()).collect(),
    };
    check_upstreams(&routes, &config.upstreams, &section);
    check_overlaps(&routes, &section);
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

fn read_upstreams(section: &mut Section<'_>) -> Vec<UpstreamOptions> {
    let named = section.sections("upstream").into_iter();
    let read = |(name, mut section): (String, Section<'_>)| {
        let tls = section.optional_section("tls").and_then(read_upstream_tls);
        let default_port = if tls.is_some() { 443 } else { 80 };
        let servers = section.list("servers", Vec::new(), |text| parse_server(text, default_port));
        if servers.is_empty() {
            section.error_here("servers must name at least one HOST:PORT");
        }
        let resolve_every = read_ms(&mut section, "resolve_every_ms", UpstreamOptions::RESOLVE_EVERY, 1000);
        section.reject_unknown_keys();
        UpstreamOptions { name, servers, tls, resolve_every }
    };
    named.map(read).collect()
}

fn read_upstream_tls(mut section: Section<'_>) -> Option<UpstreamTlsOptions> {
    let name = section.optional("name", parse_non_empty);
    if name.is_none() {
        section.error_here("name must say which name the certificate of the servers has");
    }
    let ca = section.optional("ca", parse_non_empty).map(PathBuf::from);
    let (cert, key) = (section.optional("cert", parse_non_empty), section.optional("key", parse_non_empty));
    let client_certificate = match (cert, key) {
        (Some(cert), Some(key)) => Some(CertificateFiles { cert: cert.into(), key: key.into() }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            section.error_here("cert and key must be set together");
            None
        }
    };
    section.reject_unknown_keys();
    Some(UpstreamTlsOptions { name: name?, ca, client_certificate })
}

/// Route and its position in the configuration.
struct LocatedRoute {
    options: RouteOptions,
    source: ValueSource,
}

fn read_route(mut section: Section<'_>) -> LocatedRoute {
    let source = section.source();
    let defaults = RouteOptions::default();
    let options = RouteOptions {
        host: section.optional("host", parse_host),
        path: section.parsed("path", defaults.path, parse_path),
        methods: section.list("methods", defaults.methods, parse_method),
        upstream: section.parsed("upstream", defaults.upstream, parse_non_empty),
        auth: section.parsed("auth", defaults.auth, parse_auth),
        credential: section.list("credential", defaults.credential, parse_credential_location),
        requirement: Requirement {
            projects: section.list("projects", defaults.requirement.projects, parse_project),
            env: section.parsed("env", defaults.requirement.env, parse_env_rule),
            permissions: section.list("permissions", defaults.requirement.permissions, parse_non_empty),
        },
        networks: NetworkRules {
            allow: section.list("allow", Vec::new(), parse_network),
            deny: section.list("deny", Vec::new(), parse_network),
        },
        max_body_bytes: section.optional_number("max_body_bytes", 0, MAX_BODY_BYTES),
        upstream_timeout: section.optional_number("upstream_timeout_ms", 100, MAX_MS).map(Duration::from_millis),
        respond: section.optional_number("respond", 200, 599).and_then(as_status),
    };
    if options.credential.is_empty() && options.auth != Auth::Off {
        section.error_here("credential must name at least one header");
    }
    section.reject_unknown_keys();
    LocatedRoute { options, source }
}

/// Adds the default route if none is configured but an upstream is.
fn with_default_route(config: GatewayConfig, section: &Section<'_>) -> GatewayConfig {
    if !config.routes.is_empty() || config.upstreams.is_empty() {
        return config;
    }
    if !config.upstreams.iter().any(|upstream| upstream.name == DEFAULT_UPSTREAM) {
        section.error_here("without a route all requests go to the upstream \"app\", which is not configured");
    }
    GatewayConfig { routes: vec![RouteOptions::default()], ..config }
}

fn check_upstreams(routes: &[LocatedRoute], upstreams: &[UpstreamOptions], section: &Section<'_>) {
    for LocatedRoute { options, source } in routes {
        if options.respond.is_none() && !upstreams.iter().any(|upstream| upstream.name == options.upstream) {
            let known: Vec<&str> = upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let what = format!("upstream {:?} does not exist; configured upstreams: {known}", options.upstream);
            section.add_error(source, "route", &what);
        }
    }
}

/// Reports pairs of routes that match the same requests, of which only one could ever be used. A route with methods
/// takes precedence over one without, so such a pair is allowed.
fn check_overlaps(routes: &[LocatedRoute], section: &Section<'_>) {
    for (number, later) in routes.iter().enumerate() {
        let earlier = routes.iter().take(number).find(|earlier| routes_overlap(&earlier.options, &later.options));
        if let Some(earlier) = earlier {
            let what = format!("the route at {} matches the same requests (host, path and methods)", earlier.source);
            section.add_error(&later.source, "route", &what);
        }
    }
}

fn routes_overlap(one: &RouteOptions, other: &RouteOptions) -> bool {
    let are_methods_shared = match (one.methods.as_slice(), other.methods.as_slice()) {
        ([], []) => true,
        ([], _) | (_, []) => false,
        (one, other) => one.iter().any(|method| other.contains(method)),
    };
    one.host == other.host && one.path == other.path && are_methods_shared
}

fn parse_network(text: &str) -> Result<IpNet, ParseSettingError> {
    let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse().or(address).map_err(|_| ParseSettingError::form(text, "a network, such as 10.0.0.0/8"))
}

/// Parses `HOST:PORT`, optionally with `http://` before it.
fn parse_server(text: &str, default_port: u16) -> Result<String, ParseSettingError> {
    let invalid = || ParseSettingError::form(text, "HOST:PORT, such as 127.0.0.1:3000");
    let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    if authority.contains("//") {
        return Err(ParseSettingError::UpstreamScheme(text.to_owned()));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, port.parse::<u16>().map_err(|_| invalid())?),
        _ => (authority, default_port),
    };
    let is_host = !host.is_empty() && !host.contains(['/', '@', ' ']);
    if is_host { Ok(format!("{host}:{port}")) } else { Err(invalid()) }
}

fn as_status(number: u64) -> Option<StatusCode> {
    StatusCode::from_u16(u16::try_from(number).ok()?).ok()
}

fn parse_host(text: &str) -> Result<String, ParseSettingError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_host =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte));
    if is_host { Ok(text.to_ascii_lowercase()) } else { Err(ParseSettingError::form(text, "a host name without port")) }
}

fn parse_path(text: &str) -> Result<String, ParseSettingError> {
    match CanonicalPath::parse(text) {
        Ok(path) => Ok(path.as_str().to_owned()),
        Err(error) => Err(ParseSettingError::Path(text.to_owned(), error)),
    }
}

fn parse_method(text: &str) -> Result<Method, ParseSettingError> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if !matches!(method, Method::TRACE | Method::CONNECT) => Ok(method),
        Ok(_) | Err(_) => Err(ParseSettingError::form(text, "a method that can be routed")),
    }
}

fn parse_strip(text: &str) -> Result<StripMode, ParseSettingError> {
    match text {
        "default" => Ok(StripMode::Default),
        "ours" => Ok(StripMode::Ours),
        _ => Err(ParseSettingError::choice(text, "default or ours")),
    }
}

fn parse_auth(text: &str) -> Result<Auth, ParseSettingError> {
    match text {
        "required" => Ok(Auth::Required),
        "optional" => Ok(Auth::Optional),
        "off" => Ok(Auth::Off),
        _ => Err(ParseSettingError::choice(text, "required, optional or off")),
    }
}

fn parse_project(text: &str) -> Result<ProjectId, ParseSettingError> {
    ProjectId::parse(text).map_err(|_| ParseSettingError::form(text, "the id of a project (prj_…)"))
}

fn parse_env_rule(text: &str) -> Result<EnvRule, ParseSettingError> {
    match (text, Env::parse(text)) {
        ("any", _) => Ok(EnvRule::Any),
        (_, Some(env)) => Ok(EnvRule::Only(env)),
        (_, None) => Err(ParseSettingError::choice(text, "live, test or any")),
    }
}

fn parse_credential_location(text: &str) -> Result<CredentialLocation, ParseSettingError> {
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(name) if name == http::header::AUTHORIZATION => Ok(CredentialLocation::Authorization),
        Ok(name) => Ok(CredentialLocation::Header(name)),
        Err(_) => Err(ParseSettingError::form(text, "a header name")),
    }
}

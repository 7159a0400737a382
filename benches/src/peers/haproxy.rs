//! HAProxy with a map of raw keys.

use std::fs;

use anyhow::Context;

use super::{KeyCheck, Peer, PeerConfig};
use crate::machine::Core;
use crate::process::{Process, find_program};

pub(super) const NAME: &str = "HAProxy, key map";

pub(super) fn start(config: &PeerConfig<'_>) -> anyhow::Result<Peer> {
    let address = config.free_address();
    let program = find_program("haproxy").context("haproxy is not installed")?;
    let home = config.directory.join("haproxy");
    fs::create_dir_all(&home)?;
    let (map, conf) = (home.join("keys.map"), home.join("haproxy.cfg"));
    let lines = config.keys.iter().enumerate().map(|(number, key)| format!("{key} customer-{number}\n"));
    fs::write(&map, lines.collect::<String>())?;
    let (map, upstream) = (map.display(), config.upstream);
    let tls =
        config.certificate.map(|files| format!(" ssl crt {} ssl-min-ver TLSv1.3 alpn http/1.1", files.both.display()));
    let tls = tls.unwrap_or_default();
    let text = format!(
        "global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
frontend in
  bind {address}{tls}
  http-request set-var(txn.customer) req.hdr(x-api-key),map_str({map})
  http-request deny deny_status 401 unless {{ var(txn.customer) -m found }}
  http-request del-header x-api-key
  http-request set-header x-customer %[var(txn.customer)]
  default_backend out
backend out
  server app {upstream} maxconn 4096 pool-max-conn -1
"
    );
    fs::write(&conf, text)?;
    let mut command = Core::Proxy.command(&program.display().to_string());
    command.arg("-db").arg("-f").arg(&conf);
    let mut process = Process::start(command, &home, "haproxy")?;
    process.await_listening(address)?;
    Ok(Peer::new(NAME, KeyCheck::Required, address, process))
}

//! Plain Pingora.

use anyhow::Context;

use super::{KeyCheck, Peer, PeerConfig};
use crate::gatepost;
use crate::machine::Core;
use crate::process::Process;

pub(super) const NAME: &str = "Pingora plain";

pub(super) fn start(config: &PeerConfig<'_>) -> anyhow::Result<Peer> {
    let address = config.free_address();
    let program = gatepost::built_program("plain-pingora")?;
    let mut command = Core::Proxy.command(&program.display().to_string());
    let arguments = ["--listen", &address.to_string(), "--upstream", &config.upstream.to_string(), "--threads", "1"];
    command.args(arguments);
    if let Some(files) = config.certificate {
        command.arg("--tls-cert").arg(&files.certificate).arg("--tls-key").arg(&files.key);
    }
    let mut process = Process::start(command, config.directory, "pingora").context("plain Pingora")?;
    process.await_listening(address)?;
    Ok(Peer::new(NAME, KeyCheck::Absent, address, process))
}

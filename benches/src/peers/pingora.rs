//! Plain Pingora.

use anyhow::Context;

use super::{Around, Authenticates, Peer};
use crate::gatepost;
use crate::machine::Core;
use crate::process::Process;

pub(super) const NAME: &str = "Pingora plain";

pub(super) fn start(around: &Around<'_>) -> anyhow::Result<Peer> {
    let address = around.free_address();
    let program = gatepost::built("plain-pingora")?;
    let mut command = Core::Proxy.command(&program.display().to_string());
    let arguments = ["--listen", &address.to_string(), "--upstream", &around.upstream.to_string(), "--threads", "1"];
    command.args(arguments);
    let mut process = Process::start(command, around.directory, "pingora").context("plain Pingora")?;
    process.await_listening(address)?;
    Ok(Peer::new(NAME, Authenticates::No, address, process))
}

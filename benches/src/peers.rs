//! Proxies that are compared with each other, all with the same upstream.

mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod pingora;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use gatepost_test_support::free_port;

use crate::gatepost::GatepostProcess;
use crate::generator::{self, Keys, LoadConfig, LoadModel, Requests, StopAfter};
use crate::machine::{self, Core};
use crate::process::Process;
pub(crate) use nginx::user_directive as nginx_user;

/// Name of Gatepost in reports.
pub(crate) const GATEPOST: &str = "Gatepost";

/// Authentication of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyCheck {
    Required,
    Absent,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) key_check: KeyCheck,
    pub(crate) address: SocketAddr,
    /// Time from the start until the peer was ready, if it was measured.
    pub(crate) ready_after: Option<Duration>,
    process: Process,
}

impl Peer {
    /// Returns a peer that already listens.
    pub(crate) fn new(name: &'static str, key_check: KeyCheck, address: SocketAddr, process: Process) -> Self {
        Self { name, key_check, address, ready_after: None, process }
    }

    /// Returns the CPU time so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.process.cpu_time()
    }

    /// Returns the resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        machine::resident_bytes(self.process.pid())
    }

    pub(crate) fn truncate_log(&self) -> anyhow::Result<()> {
        self.process.truncate_log()
    }
}

pub(crate) struct PeerConfig<'a> {
    /// Directory of its files.
    pub(crate) directory: &'a Path,
    /// Address of the upstream.
    pub(crate) upstream: SocketAddr,
    /// Keys that it must accept.
    pub(crate) keys: &'a [String],
}

impl PeerConfig<'_> {
    fn free_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], free_port()))
    }
}

/// Started peer, or its name and why it is skipped.
pub(crate) type StartResult = Result<Peer, (&'static str, String)>;

/// Starts every peer that is installed.
pub(crate) fn start_all(config: &PeerConfig<'_>) -> Vec<StartResult> {
    type StartPeer = fn(&PeerConfig<'_>) -> anyhow::Result<Peer>;
    let starters: [(&str, StartPeer); 6] = [
        (nginx::PLAIN, nginx::plain),
        (nginx::LUA, nginx::lua),
        (haproxy::NAME, haproxy::start),
        (envoy::NAME, envoy::start),
        (caddy::NAME, caddy::start),
        (pingora::NAME, pingora::start),
    ];
    starters.iter().map(|(name, starter)| starter(config).map_err(|error| (*name, format!("{error:#}")))).collect()
}

/// Starts nginx without authentication.
pub(crate) fn start_nginx(config: &PeerConfig<'_>) -> anyhow::Result<Peer> {
    nginx::plain(config)
}

pub(crate) fn start_pingora(config: &PeerConfig<'_>) -> anyhow::Result<Peer> {
    pingora::start(config)
}

/// Returns a running gateway as a peer.
pub(crate) fn gatepost_peer(gateway: GatepostProcess) -> anyhow::Result<Peer> {
    let address = gateway.gateway.context("the process has no gateway")?;
    let ready_after = Some(gateway.ready_after);
    Ok(Peer { ready_after, ..Peer::new(GATEPOST, KeyCheck::Required, address, gateway.process) })
}

/// Checks that a peer accepts valid keys, and rejects unknown keys if it requires a key.
pub(crate) fn check_authentication(peer: &Peer, keys: &Keys, unknown_key: &str) -> anyhow::Result<()> {
    let send_one = |keys: Keys| {
        let (load_model, stop_after) = (LoadModel::ClosedLoop, StopAfter::Responses(1));
        let load = LoadConfig { target: peer.address, connections: 1, load_model, stop_after, core: Core::Load };
        generator::run(load, &mut Requests::get("/check", keys))
    };
    send_one(keys.clone())?.expect_only(&[200]).with_context(|| format!("{} with a valid key", peer.name))?;
    let result = send_one(Keys::RoundRobin(vec![unknown_key.to_owned()].into()))?;
    match peer.key_check {
        KeyCheck::Required => result.expect_only(&[401]),
        KeyCheck::Absent => result.expect_only(&[200]),
    }
    .with_context(|| format!("{} with an unknown key", peer.name))
}

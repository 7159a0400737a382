//! Proxies that are compared with each other, all with the same upstream.

mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod pingora;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use gatepost_test_support::free_port;
use rustls::ClientConfig;

use crate::gatepost::GatepostProcess;
use crate::generator::{self, Keys, LoadConfig, LoadModel, Requests, StopAfter, Target};
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
    /// Address of its metrics, if it is Gatepost.
    pub(crate) ops: Option<SocketAddr>,
    /// TLS of its clients. None if it listens without TLS.
    tls: Option<Arc<ClientConfig>>,
    process: Process,
}

impl Peer {
    /// Returns a peer that already listens.
    pub(crate) fn new(name: &'static str, key_check: KeyCheck, address: SocketAddr, process: Process) -> Self {
        Self { name, key_check, address, ready_after: None, ops: None, tls: None, process }
    }

    /// Returns the peer as one that listens with TLS.
    pub(crate) fn over_tls(self, tls: Arc<ClientConfig>) -> Self {
        Self { tls: Some(tls), ..self }
    }

    pub(crate) fn target(&self) -> Target {
        Target { address: self.address, tls: self.tls.clone() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Returns the CPU time so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.process.cpu_time()
    }

    /// Returns the resident memory of all its processes in bytes.
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
    /// Certificate with which it listens over TLS 1.3. None without TLS.
    pub(crate) certificate: Option<&'a CertificateFiles>,
}

/// PEM files of a certificate.
#[derive(Debug, Clone)]
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Certificate and key.
    pub(crate) both: PathBuf,
}

impl PeerConfig<'_> {
    fn free_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], free_port()))
    }
}

/// Started peer, or its name and why it is skipped.
pub(crate) type StartResult = Result<Peer, (&'static str, String)>;

type StartPeer = (&'static str, fn(&PeerConfig<'_>) -> anyhow::Result<Peer>);

/// Peers that can listen with TLS.
const TLS_PEERS: [StartPeer; 5] = [
    (nginx::PLAIN, nginx::plain),
    (haproxy::NAME, haproxy::start),
    (envoy::NAME, envoy::start),
    (caddy::NAME, caddy::start),
    (pingora::NAME, pingora::start),
];
const OTHER_PEERS: [StartPeer; 1] = [(nginx::LUA, nginx::lua)];

/// Starts every peer that is installed.
pub(crate) fn start_all(config: &PeerConfig<'_>) -> Vec<StartResult> {
    TLS_PEERS.iter().chain(&OTHER_PEERS).map(|peer| start(peer, config)).collect()
}

/// Starts every installed peer that can listen with TLS.
pub(crate) fn start_tls_peers(config: &PeerConfig<'_>) -> Vec<StartResult> {
    TLS_PEERS.iter().map(|peer| start(peer, config)).collect()
}

fn start((name, starter): &StartPeer, config: &PeerConfig<'_>) -> StartResult {
    starter(config).map_err(|error| (*name, format!("{error:#}")))
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
    let (ready_after, ops) = (Some(gateway.ready_after), gateway.ops);
    Ok(Peer { ready_after, ops, ..Peer::new(GATEPOST, KeyCheck::Required, address, gateway.process) })
}

/// Checks that a peer accepts valid keys, and rejects unknown keys if it requires a key.
pub(crate) fn check_authentication(peer: &Peer, keys: &Keys, unknown_key: &str) -> anyhow::Result<()> {
    let send_one = |keys: Keys| {
        let (load_model, stop_after) = (LoadModel::ClosedLoop, StopAfter::Responses(1));
        let load = LoadConfig { target: peer.target(), connections: 1, load_model, stop_after, core: Core::Load };
        generator::run(&load, &mut Requests::get("/check", keys))
    };
    send_one(keys.clone())?.expect_only(&[200]).with_context(|| format!("{} with a valid key", peer.name))?;
    let result = send_one(Keys::RoundRobin(vec![unknown_key.to_owned()].into()))?;
    match peer.key_check {
        KeyCheck::Required => result.expect_only(&[401]),
        KeyCheck::Absent => result.expect_only(&[200]),
    }
    .with_context(|| format!("{} with an unknown key", peer.name))
}

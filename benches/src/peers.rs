//! Proxies that are measured beside each other, each before the same upstream.

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

use crate::gatepost::Gatepost;
use crate::generator::{self, Keys, Load, Pace, Requests, Until};
use crate::machine::{self, Core};
use crate::process::Process;
pub(crate) use nginx::user as nginx_user;

/// The program itself.
pub(crate) const OWN: &str = "Gatepost";

/// Whether a proxy asks for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authenticates {
    Yes,
    No,
}

/// A proxy that runs.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) authenticates: Authenticates,
    pub(crate) address: SocketAddr,
    /// From its start until it told that it was ready, where that was measured.
    pub(crate) ready_after: Option<Duration>,
    process: Process,
}

impl Peer {
    /// One that listens already.
    pub(crate) fn new(name: &'static str, authenticates: Authenticates, address: SocketAddr, process: Process) -> Self {
        Self { name, authenticates, address, ready_after: None, process }
    }

    /// Its processor time so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.process.cpu_time()
    }

    /// Its resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        machine::resident_bytes(self.process.pid())
    }

    /// Empties its log.
    pub(crate) fn forget_log(&self) -> anyhow::Result<()> {
        self.process.forget_log()
    }
}

/// What a peer is started with.
pub(crate) struct Around<'a> {
    /// Where its files go.
    pub(crate) directory: &'a Path,
    /// Where requests go.
    pub(crate) upstream: SocketAddr,
    /// The keys that it shall accept.
    pub(crate) keys: &'a [String],
}

impl Around<'_> {
    fn free_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], free_port()))
    }
}

/// A peer, or why it is left out.
pub(crate) type Started = Result<Peer, (&'static str, String)>;

/// Starts every peer that this machine has.
pub(crate) fn start_all(around: &Around<'_>) -> Vec<Started> {
    type Start = fn(&Around<'_>) -> anyhow::Result<Peer>;
    let starts: [(&str, Start); 6] = [
        (nginx::PLAIN, nginx::plain),
        (nginx::LUA, nginx::lua),
        (haproxy::NAME, haproxy::start),
        (envoy::NAME, envoy::start),
        (caddy::NAME, caddy::start),
        (pingora::NAME, pingora::start),
    ];
    starts.iter().map(|(name, start)| start(around).map_err(|error| (*name, format!("{error:#}")))).collect()
}

/// Starts nginx, without authentication.
pub(crate) fn start_nginx(around: &Around<'_>) -> anyhow::Result<Peer> {
    nginx::plain(around)
}

/// Starts plain Pingora.
pub(crate) fn start_pingora(around: &Around<'_>) -> anyhow::Result<Peer> {
    pingora::start(around)
}

/// The program itself as a peer.
pub(crate) fn gatepost(gateway: Gatepost) -> anyhow::Result<Peer> {
    let address = gateway.gateway.context("it is no gateway")?;
    let ready_after = Some(gateway.ready_after);
    Ok(Peer { ready_after, ..Peer::new(OWN, Authenticates::Yes, address, gateway.process) })
}

/// Insists that a peer answers valid keys, and refuses others if it asks for a key.
pub(crate) fn check(peer: &Peer, keys: &Keys, stranger: &str) -> anyhow::Result<()> {
    let once = |keys: Keys| {
        let (pace, until) = (Pace::Answers, Until::Answers(1));
        let load = Load { target: peer.address, connections: 1, pace, until, core: Core::Load };
        generator::run(load, &mut Requests::get("/check", keys))
    };
    once(keys.clone())?.expect_only(&[200]).with_context(|| format!("{} with a valid key", peer.name))?;
    let refused = once(Keys::InTurn(vec![stranger.to_owned()].into()))?;
    match peer.authenticates {
        Authenticates::Yes => refused.expect_only(&[401]),
        Authenticates::No => refused.expect_only(&[200]),
    }
    .with_context(|| format!("{} with an unknown key", peer.name))
}

//! `tls`: the gateway over TLS 1.3 next to its peers, with many routes, and during reloads.

mod handshakes;
mod memory;
mod reloads;
mod requests;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::Args;

use crate::findings::Findings;
use crate::gateway_fixture::GatewayFixture;
use crate::generator::{Keys, Requests, StopAfter};
use crate::peers::{self, Peer, PeerConfig};
use crate::report::{NoiseMonitor, Table, print_line};
use crate::rounds::{Case, Figures, Plan};
use crate::statistics::{MedianRange, Ratio};
use crate::store_fixture;
use crate::tls_fixture::TlsFixture;

/// Number of keys that every peer with a key check accepts.
const KEYS: usize = 10_000;
/// Path of requests where the path does not matter.
const PATH: &str = "/some/resource";

#[derive(Debug, Args)]
pub(crate) struct TlsOptions {
    /// Part to run: memory, handshakes, requests, routes or reloads [default: all]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Run fewer and shorter rounds, in less than three minutes
    #[arg(long)]
    quick: bool,
    /// Seed for the order of the rounds [default: random]
    #[arg(long)]
    seed: Option<u64>,
}

/// What all parts use.
struct TlsBench {
    fixture: GatewayFixture,
    tls: TlsFixture,
    plan: Plan,
    /// Number of idle connections.
    idle_connections: usize,
}

type Part = fn(&TlsBench) -> anyhow::Result<Findings>;

/// Memory comes first: it is measured with an allocator that has nothing to reuse.
const PARTS: &[(&str, Part)] = &[
    ("memory", memory::run),
    ("handshakes", handshakes::run),
    ("requests", requests::run),
    ("routes", routes::run),
    ("reloads", reloads::run),
];

/// Runs all parts, or the named one.
pub(crate) async fn run(options: &TlsOptions) -> anyhow::Result<()> {
    let selected: Vec<_> =
        PARTS.iter().filter(|(name, _)| options.name.as_deref().is_none_or(|one| one == *name)).collect();
    if selected.is_empty() {
        let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        bail!("unknown part; choose one of {}", names.join(", "));
    }
    let bench = TlsBench::start(options).await?;
    print_line(&format!("seed {}", bench.plan.seed));
    for (name, part) in selected {
        let monitor = NoiseMonitor::start();
        let findings = part(&bench)?;
        findings.report(&format!("tls-{name}"), Some(bench.plan.seed), &monitor)?;
    }
    Ok(())
}

impl TlsBench {
    async fn start(options: &TlsOptions) -> anyhow::Result<Self> {
        let seed = options.seed.unwrap_or_else(store_fixture::random_seed);
        let (rounds, duration, idle_connections) =
            if options.quick { (5, Duration::from_secs(1), 1000) } else { (15, Duration::from_secs(2), 3000) };
        let fixture = GatewayFixture::start(KEYS).await?;
        let tls = TlsFixture::create(fixture.directory())?;
        Ok(Self { fixture, tls, plan: Plan { rounds, duration, seed }, idle_connections })
    }

    fn keys(&self) -> Keys {
        Keys::RoundRobin(Arc::clone(&self.fixture.keys))
    }

    /// Starts the peers that are installed, and Gatepost as the last one, all with TLS, and checks that each
    /// authenticates as expected. The name is that of Gatepost's log file.
    fn start_peers(&self, name: &str) -> anyhow::Result<Vec<Arc<Peer>>> {
        let config = PeerConfig { certificate: Some(&self.tls.files), ..self.fixture.peer_config() };
        let mut peers = Vec::new();
        for result in peers::start_tls_peers(&config) {
            match result {
                Ok(peer) => peers.push(Arc::new(peer.over_tls(Arc::clone(&self.tls.client)))),
                Err((name, reason)) => print_line(&format!("skipped: {name}: {reason}")),
            }
        }
        peers.push(self.gateway(name, &[])?);
        let unknown_key = store_fixture::unknown_keys(1).remove(0);
        for peer in &peers {
            peers::check_authentication(peer, &self.keys(), &unknown_key)?;
        }
        Ok(peers)
    }

    /// Starts a gateway with TLS, which accepts any number of connections of one client.
    fn gateway(&self, name: &str, arguments: &[String]) -> anyhow::Result<Arc<Peer>> {
        let environment = [("GATEPOST_GATEWAY__MAX_CONNECTIONS_PER_ADDRESS", "50000".to_owned())];
        self.fixture.tls_gateway(name, &self.tls, arguments, &environment)
    }

    /// Returns a case whose peer has accepted each key once.
    fn case(&self, name: &str, peer: &Arc<Peer>, path: &str) -> anyhow::Result<Case> {
        let mut case = Case::new(name, peer, Requests::get(path, self.keys()));
        case.send_requests(StopAfter::Responses(KEYS as u64))?;
        Ok(case)
    }
}

/// Returns a table of proxies by their CPU time for one operation. Gatepost is one of them.
fn comparison(operation: &str, proxies: &[(&str, &Figures)]) -> Table {
    let (cpu, rate) = (format!("CPU µs a {operation}"), format!("{operation}s/s on one core"));
    let mut table = Table::with_columns(&["proxy", &cpu, "range", &rate, "Gatepost in parts of it [95 %]"]);
    let mut rows: Vec<_> = proxies.iter().map(|(name, figures)| (*name, *figures, figures.cpu())).collect();
    rows.sort_by(|(_, _, one), (_, _, other)| one.median.total_cmp(&other.median));
    for (name, figures, cpu) in rows {
        table.add_row(vec![
            name.to_owned(),
            format!("{:.1}", cpu.median),
            format!("{:.1} to {:.1}", cpu.min, cpu.max),
            format!("{:.0}", MedianRange::from_values(&figures.rate).median),
            ratio_of_gatepost(proxies, figures).map_or_else(|| "-".to_owned(), |ratio| ratio.to_string()),
        ]);
    }
    table
}

/// Returns Gatepost's CPU time in parts of another one.
fn ratio_of_gatepost(proxies: &[(&str, &Figures)], other: &Figures) -> Option<Ratio> {
    let (_, gatepost) = proxies.iter().find(|(name, _)| *name == peers::GATEPOST)?;
    Some(Ratio::paired(&gatepost.cpu_us, &other.cpu_us))
}

//! `load`: all peers with the same requests, in rounds of random order, compared by CPU time.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::gateway_fixture::GatewayFixture;
use crate::generator::{Keys, Requests, StopAfter};
use crate::machine::Core;
use crate::peers::{self, KeyCheck};
use crate::plot::{self, Bar, BarOwner};
use crate::report::{self, Noise, NoiseMonitor, Table, print_line};
use crate::rounds::{self, Case, Figures, Plan};
use crate::statistics::{MedianRange, Ratio};
use crate::store_fixture;

/// Number of keys that every peer accepts.
const KEYS: usize = 10_000;
/// Peer with which all others are compared.
const BASELINE_PEER: &str = "nginx plain";

#[derive(Debug, Args)]
pub(crate) struct LoadOptions {
    /// Run fewer and shorter rounds, in less than two minutes
    #[arg(long)]
    quick: bool,
    /// Number of rounds [default: 15, or 5 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seed for the order of the rounds [default: random]
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Serialize)]
struct LoadReport<'a> {
    seed: u64,
    noise: Noise,
    left_out: Vec<(&'static str, String)>,
    peers: Vec<(&'a str, &'a Figures)>,
}

pub(crate) async fn run(options: &LoadOptions) -> anyhow::Result<()> {
    let plan = Plan {
        rounds: options.rounds.unwrap_or(if options.quick { 5 } else { 15 }),
        duration: Duration::from_millis(if options.quick { 1000 } else { 2000 }),
        seed: options.seed.unwrap_or_else(store_fixture::random_seed),
    };
    print_line(&format!("seed {}", plan.seed));
    let fixture = GatewayFixture::start(KEYS).await?;
    let (mut cases, left_out) = start_peers(&fixture)?;
    for (name, reason) in &left_out {
        print_line(&format!("skipped: {name}: {reason}"));
    }
    let monitor = NoiseMonitor::start();
    rounds::measure(&mut cases, plan)?;
    let noise = monitor.noise();
    cases.sort_by(|one, other| one.cpu().median.total_cmp(&other.cpu().median));
    print_line(&table(&cases).to_markdown());
    print_line(&noise.summary());
    let svg = report::write_file("load.svg", &plot(&cases))?;
    let figures = cases.iter().map(|case| (case.name.as_str(), &case.figures)).collect();
    let json = report::write_json("load", &LoadReport { seed: plan.seed, noise, left_out, peers: figures })?;
    print_line(&format!("{}\n{}", json.display(), svg.display()));
    Ok(())
}

type SkippedPeers = Vec<(&'static str, String)>;

/// Starts the peers, checks that each authenticates as expected, and sends every key once through each.
fn start_peers(fixture: &GatewayFixture) -> anyhow::Result<(Vec<Case>, SkippedPeers)> {
    let (mut peers, mut left_out) = (Vec::new(), Vec::new());
    for result in peers::start_all(&fixture.peer_config()) {
        match result {
            Ok(peer) => peers.push(Arc::new(peer)),
            Err(reason) => left_out.push(reason),
        }
    }
    peers.push(fixture.gateway("gatepost", Core::Proxy, &[])?);
    let unknown_key = store_fixture::unknown_keys(1).remove(0);
    let keys = Keys::RoundRobin(Arc::clone(&fixture.keys));
    let mut cases = Vec::new();
    for peer in &peers {
        peers::check_authentication(peer, &keys, &unknown_key)?;
        let mut case = Case::new(peer.name, peer, Requests::get("/some/resource", keys.clone()));
        case.send_requests(StopAfter::Responses(fixture.keys.len() as u64))?;
        cases.push(case);
    }
    Ok((cases, left_out))
}

fn table(cases: &[Case]) -> Table {
    let mut table = Table::with_columns(&[
        "proxy",
        "keys",
        "CPU µs a request",
        "range",
        "requests/s on one core",
        "in parts of nginx plain [95 %]",
        "Gatepost in parts of it [95 %]",
    ]);
    let find_case = |name: &str| cases.iter().find(|case| case.name == name);
    let ratio = |case: Option<&Case>, base: Option<&Case>| match (case, base) {
        (Some(case), Some(base)) => Ratio::paired(&case.figures.cpu_us, &base.figures.cpu_us).to_string(),
        _ => "-".to_owned(),
    };
    for case in cases {
        let (cpu, rate) = (case.cpu(), MedianRange::from_values(&case.figures.rate));
        table.add_row(vec![
            case.name.clone(),
            if case.peer.key_check == KeyCheck::Required { KEYS.to_string() } else { "none".to_owned() },
            format!("{:.1}", cpu.median),
            format!("{:.1} to {:.1}", cpu.min, cpu.max),
            format!("{:.0}", rate.median),
            ratio(Some(case), find_case(BASELINE_PEER)),
            ratio(find_case(peers::GATEPOST), Some(case)),
        ]);
    }
    table
}

fn plot(cases: &[Case]) -> String {
    let bars = cases.iter().map(|case| Bar {
        label: case.name.clone(),
        value: case.cpu().median,
        range: Some((case.cpu().min, case.cpu().max)),
        owner: if case.name == peers::GATEPOST { BarOwner::Gatepost } else { BarOwner::Peer },
    });
    plot::bars("Processor time of the proxy for one request, in µs (less is better)", &bars.collect::<Vec<_>>())
}

//! `load`: every peer with the same requests, in rounds of random order, by processor time.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::generator::{Keys, Requests, Until};
use crate::machine::Core;
use crate::peers::{self, Authenticates};
use crate::plot::{self, Bar, Whose};
use crate::report::{self, Noise, Table, Watch, tell};
use crate::rounds::{self, Case, Figures, Plan};
use crate::site;
use crate::stage::Stage;
use crate::statistics::{Range, Ratio};

/// Keys that every peer accepts.
const KEYS: usize = 10_000;
/// To whom everybody is compared.
const BASE: &str = "nginx plain";

/// Options of `load`.
#[derive(Debug, Args)]
pub(crate) struct LoadOptions {
    /// Fewer and shorter rounds: under two minutes in all
    #[arg(long)]
    quick: bool,
    /// Rounds [default: 15, or 5 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// The order of the rounds comes from it [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Results<'a> {
    seed: u64,
    noise: Noise,
    left_out: Vec<(&'static str, String)>,
    peers: Vec<(&'a str, &'a Figures)>,
}

/// Runs it.
pub(crate) async fn run(options: &LoadOptions) -> anyhow::Result<()> {
    let plan = Plan {
        rounds: options.rounds.unwrap_or(if options.quick { 5 } else { 15 }),
        span: Duration::from_millis(if options.quick { 1000 } else { 2000 }),
        seed: options.seed.unwrap_or_else(site::seed),
    };
    tell(&format!("seed {}", plan.seed));
    let stage = Stage::start(KEYS).await?;
    let (mut cases, left_out) = start(&stage)?;
    for (name, reason) in &left_out {
        tell(&format!("left out: {name}: {reason}"));
    }
    let watch = Watch::start();
    rounds::measure(&mut cases, plan)?;
    let noise = watch.noise();
    cases.sort_by(|one, other| one.cpu().median.total_cmp(&other.cpu().median));
    tell(&table(&cases).markdown());
    tell(&noise.sentence());
    let svg = report::write("load.svg", &plot(&cases))?;
    let figures = cases.iter().map(|case| (case.name.as_str(), &case.figures)).collect();
    let json = report::write_json("load", &Results { seed: plan.seed, noise, left_out, peers: figures })?;
    tell(&format!("{}\n{}", json.display(), svg.display()));
    Ok(())
}

type LeftOut = Vec<(&'static str, String)>;

/// Starts the peers, insists that each does what it shall, and sends every key once through each.
fn start(stage: &Stage) -> anyhow::Result<(Vec<Case>, LeftOut)> {
    let (mut peers, mut left_out) = (Vec::new(), Vec::new());
    for started in peers::start_all(&stage.around()) {
        match started {
            Ok(peer) => peers.push(Arc::new(peer)),
            Err(reason) => left_out.push(reason),
        }
    }
    peers.push(stage.gateway("gatepost", Core::Proxy, &[])?);
    let stranger = site::strangers(1).remove(0);
    let keys = Keys::InTurn(Arc::clone(&stage.keys));
    let mut cases = Vec::new();
    for peer in &peers {
        peers::check(peer, &keys, &stranger)?;
        let mut case = Case::new(peer.name, peer, Requests::get("/some/resource", keys.clone()));
        case.ask(Until::Answers(stage.keys.len() as u64))?;
        cases.push(case);
    }
    Ok((cases, left_out))
}

fn table(cases: &[Case]) -> Table {
    let mut table = Table::of(&[
        "proxy",
        "keys",
        "CPU µs a request",
        "range",
        "requests/s on one core",
        "in parts of nginx plain [95 %]",
        "Gatepost in parts of it [95 %]",
    ]);
    let of = |name: &str| cases.iter().find(|case| case.name == name);
    let ratio = |case: Option<&Case>, base: Option<&Case>| match (case, base) {
        (Some(case), Some(base)) => Ratio::paired(&case.figures.cpu_us, &base.figures.cpu_us).to_string(),
        _ => "-".to_owned(),
    };
    for case in cases {
        let (cpu, rate) = (case.cpu(), Range::of(&case.figures.rate));
        table.row(vec![
            case.name.clone(),
            if case.peer.authenticates == Authenticates::Yes { KEYS.to_string() } else { "none".to_owned() },
            format!("{:.1}", cpu.median),
            format!("{:.1} to {:.1}", cpu.min, cpu.max),
            format!("{:.0}", rate.median),
            ratio(Some(case), of(BASE)),
            ratio(of(peers::OWN), Some(case)),
        ]);
    }
    table
}

fn plot(cases: &[Case]) -> String {
    let bars = cases.iter().map(|case| Bar {
        label: case.name.clone(),
        value: case.cpu().median,
        range: Some((case.cpu().min, case.cpu().max)),
        whose: if case.name == peers::OWN { Whose::Own } else { Whose::Peer },
    });
    plot::bars("Processor time of the proxy for one request, in µs (less is better)", &bars.collect::<Vec<_>>())
}

//! `scenarios`: benchmarks of the gateway in all relevant situations, and of the dashboard, one at a time.

mod bodies;
mod churn;
mod confirmed;
mod dashboard;
mod first;
mod growth;
mod latency;
mod pause;
mod resident;
mod revocation;
mod threads;
mod unknown_keys;

use std::time::Duration;

use clap::Args;

use crate::findings::Findings;
use crate::report::{NoiseMonitor, print_line};
use crate::rounds::Plan;
use crate::store_fixture;

#[derive(Debug, Args)]
pub(crate) struct ScenarioOptions {
    /// Scenario to run [default: all]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Run fewer and shorter rounds with fewer keys
    #[arg(long)]
    quick: bool,
    /// Seed for the order of the rounds [default: random]
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ScenarioParams {
    pub(crate) plan: Plan,
    /// Number of keys of a large installation.
    pub(crate) many_keys: usize,
    /// Number of repetitions of sequential measurements.
    pub(crate) repetitions: usize,
}

type Scenario = fn(ScenarioParams) -> futures::future::BoxFuture<'static, anyhow::Result<Findings>>;

const SCENARIOS: &[(&str, Scenario)] = &[
    ("resident", |params| Box::pin(resident::run(params))),
    ("strangers", |params| Box::pin(unknown_keys::run(params))),
    ("first", |params| Box::pin(first::run(params))),
    ("growth", |params| Box::pin(growth::run(params))),
    ("churn", |params| Box::pin(churn::run(params))),
    ("pause", |params| Box::pin(pause::run(params))),
    ("bodies", |params| Box::pin(bodies::run(params))),
    ("latency", |params| Box::pin(latency::run(params))),
    ("revocation", |params| Box::pin(revocation::run(params))),
    ("confirmed", |params| Box::pin(confirmed::run(params))),
    ("threads", |params| Box::pin(threads::run(params))),
    ("dashboard", |params| Box::pin(dashboard::run(params))),
];

/// Runs all scenarios, or the named one.
pub(crate) async fn run(options: &ScenarioOptions) -> anyhow::Result<()> {
    let selected: Vec<_> =
        SCENARIOS.iter().filter(|(name, _)| options.name.as_deref().is_none_or(|one| one == *name)).collect();
    if selected.is_empty() {
        let names: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
        anyhow::bail!("unknown scenario; choose one of {}", names.join(", "));
    }
    let seed = options.seed.unwrap_or_else(store_fixture::random_seed);
    print_line(&format!("seed {seed}"));
    let params = if options.quick {
        let plan = Plan { rounds: 5, duration: Duration::from_secs(1), seed };
        ScenarioParams { plan, many_keys: 100_000, repetitions: 50 }
    } else {
        let plan = Plan { rounds: 15, duration: Duration::from_secs(2), seed };
        ScenarioParams { plan, many_keys: 1_000_000, repetitions: 300 }
    };
    for (name, scenario) in selected {
        let monitor = NoiseMonitor::start();
        let findings = scenario(params).await?;
        findings.report(&format!("scenario-{name}"), Some(seed), &monitor)?;
    }
    Ok(())
}

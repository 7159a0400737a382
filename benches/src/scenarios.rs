//! `scenarios`: the gateway in every situation that matters, one at a time.

mod bodies;
mod churn;
mod confirmed;
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
use serde_json::Value;

use crate::report::{self, NoiseMonitor, Table, print_line};
use crate::rounds::{Case, Plan};
use crate::store_fixture;

/// Options of `scenarios`.
#[derive(Debug, Args)]
pub(crate) struct ScenarioOptions {
    /// Only this one
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Fewer and shorter rounds, fewer keys
    #[arg(long)]
    quick: bool,
    /// The order of the rounds comes from it [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScenarioParams {
    pub(crate) plan: Plan,
    /// As many keys as a large installation has.
    pub(crate) many_keys: usize,
    /// Repetitions of what is measured one by one.
    pub(crate) repetitions: usize,
}

/// What a scenario found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Each with its title.
    pub(crate) tables: Vec<(String, Table)>,
    pub(crate) json: Value,
}

impl Findings {
    /// One table, and the figures of its cases.
    pub(crate) fn of_cases(title: &str, table: Table, cases: &[Case]) -> Self {
        let figures = cases.iter().map(|case| (case.name.clone(), serde_json::json!(case.figures)));
        Self { tables: vec![(title.to_owned(), table)], json: Value::Object(figures.collect()) }
    }
}

type Scenario = fn(ScenarioParams) -> futures::future::BoxFuture<'static, anyhow::Result<Findings>>;

/// Later ones (TLS, HTTP/2, limited keys) join here.
const SCENARIOS: &[(&str, Scenario)] = &[
    ("resident", |extent| Box::pin(resident::run(extent))),
    ("strangers", |extent| Box::pin(unknown_keys::run(extent))),
    ("first", |extent| Box::pin(first::run(extent))),
    ("growth", |extent| Box::pin(growth::run(extent))),
    ("churn", |extent| Box::pin(churn::run(extent))),
    ("pause", |extent| Box::pin(pause::run(extent))),
    ("bodies", |extent| Box::pin(bodies::run(extent))),
    ("latency", |extent| Box::pin(latency::run(extent))),
    ("revocation", |extent| Box::pin(revocation::run(extent))),
    ("confirmed", |extent| Box::pin(confirmed::run(extent))),
    ("threads", |extent| Box::pin(threads::run(extent))),
];

/// Runs all of them, or the one that was named.
pub(crate) async fn run(options: &ScenarioOptions) -> anyhow::Result<()> {
    let selected: Vec<_> =
        SCENARIOS.iter().filter(|(name, _)| options.name.as_deref().is_none_or(|one| one == *name)).collect();
    if selected.is_empty() {
        let names: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
        anyhow::bail!("there is no such scenario; there are {}", names.join(", "));
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
        for (title, table) in &findings.tables {
            print_line(&format!("### {title}\n\n{}", table.to_markdown()));
        }
        let noise = monitor.noise();
        print_line(&noise.summary());
        let json = serde_json::json!({"seed": seed, "noise": noise, "found": findings.json});
        let file = report::write_json(&format!("scenario-{name}"), &json)?;
        print_line(&format!("{}\n", file.display()));
    }
    Ok(())
}

//! `gateways`: what the gateways of a store cost Redis, at rest and for each change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use futures::future::try_join_all;
use gatepost_domain::record::ApiKey;
use gatepost_store::{Format, Versioned};
use serde::Serialize;
use serde_json::json;
use tempfile::TempDir;

use crate::findings::Findings;
use crate::gatepost::{GatepostProcess, StartOptions};
use crate::machine::Core;
use crate::redis_meter::RedisReading;
use crate::report::{self, NoiseMonitor, Table};
use crate::statistics::{Ratio, median};
use crate::store_fixture::StoreFixture;

#[derive(Debug, Args)]
pub(crate) struct GatewaysOptions {
    /// Fewer changes and one round
    #[arg(long)]
    quick: bool,
    /// Compare with a program that `cargo xtask earlier-release NAME` has built
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
}

/// Numbers of gateways. The first is what the changes cost without any.
const GATEWAYS: [usize; 5] = [0, 1, 10, 50, 100];
/// Number of changes that are made at the same time, each of another key.
const CONCURRENT_CHANGES: usize = 256;
/// Time between two changes that are made one at a time. All gateways are idle again by then.
const SINGLE_INTERVAL: Duration = Duration::from_millis(30);
/// Time after which gateways that have just started are at rest.
const SETTLING_TIME: Duration = Duration::from_secs(5);
/// Interval between two looks at the cursors of the gateways.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: usize,
    idle: Duration,
    single_changes: usize,
    /// Number of changes in batches of [`CONCURRENT_CHANGES`].
    batched_changes: usize,
}

const QUICK: Plan = Plan { rounds: 1, idle: Duration::from_secs(10), single_changes: 100, batched_changes: 10_240 };
const FULL: Plan = Plan { rounds: 5, idle: Duration::from_secs(10), single_changes: 300, batched_changes: 40_960 };

/// What Redis did in one round with a number of gateways.
#[derive(Debug, Clone, Copy, Serialize)]
struct Measured {
    /// Part of a core while nothing happens.
    idle_core: f64,
    /// CPU time of a change that is made alone, in µs, without what Redis takes at rest.
    single_us: f64,
    /// The same of many changes at once.
    batched_us: f64,
    /// Bytes that Redis sent for each of them.
    batched_bytes: f64,
    /// Changes a second while many were made at once.
    rate: f64,
}

/// A program and all its rounds, by the number of gateways.
struct Contender {
    name: &'static str,
    program: Option<PathBuf>,
    format: Format,
    rounds: Vec<Vec<Measured>>,
}

/// Measures this release, or both in turns.
pub(crate) async fn run(options: &GatewaysOptions) -> anyhow::Result<()> {
    let plan = if options.quick { QUICK } else { FULL };
    let monitor = NoiseMonitor::start();
    let contender =
        |name, program, format| Contender { name, program, format, rounds: vec![Vec::new(); GATEWAYS.len()] };
    let mut contenders = vec![contender("now", None, Format::LATEST)];
    if let Some(earlier) = &options.against {
        contenders.push(contender("earlier", Some(earlier.clone()), Format::FIRST));
    }
    let bar = report::progress_bar(plan.rounds * contenders.len() * GATEWAYS.len());
    for _ in 0..plan.rounds {
        for (index, count) in GATEWAYS.into_iter().enumerate() {
            for contender in &mut contenders {
                let measured = measure(contender.program.as_deref(), contender.format, count, plan).await?;
                contender.rounds[index].push(measured);
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    findings(&contenders).report("gateways", None, &monitor)
}

async fn measure(program: Option<&Path>, format: Format, count: usize, plan: Plan) -> anyhow::Result<Measured> {
    let fixture = StoreFixture::start_in(format).await?;
    fixture.pin_to_load_core()?;
    let keys = fixture.create_keys_with_records(CONCURRENT_CHANGES).await?;
    let mut keys = try_join_all(keys.iter().map(|key| fixture.read(&key.record))).await?;
    let directory = tempfile::tempdir()?;
    let _gateways = start_gateways(&fixture, program, count, &directory)?;
    await_gateways(&fixture, count).await?;

    tokio::time::sleep(SETTLING_TIME).await;
    let read = || RedisReading::of(&fixture.redis);
    let before = read()?;
    tokio::time::sleep(plan.idle).await;
    let idle_core = read()?.cpu_s_since(before) / plan.idle.as_secs_f64();

    let (before, started_at) = (read()?, tokio::time::Instant::now());
    for number in 0..plan.single_changes {
        let key = &mut keys[number % CONCURRENT_CHANGES];
        *key = fixture.rename_read(key, format!("single {number}")).await?;
        tokio::time::sleep(SINGLE_INTERVAL).await;
    }
    let idle_s = idle_core * started_at.elapsed().as_secs_f64();
    let single_us = (read()?.cpu_s_since(before) - idle_s) * 1e6 / plan.single_changes as f64;

    let (before, started_at) = (read()?, tokio::time::Instant::now());
    let changes_each = plan.batched_changes / CONCURRENT_CHANGES;
    try_join_all(keys.into_iter().map(|key| rename_often(&fixture, key, changes_each))).await?;
    let changes_s = started_at.elapsed().as_secs_f64();
    await_gateways(&fixture, count).await?;
    let (after, idle_s) = (read()?, idle_core * started_at.elapsed().as_secs_f64());
    let changes = plan.batched_changes as f64;
    Ok(Measured {
        idle_core,
        single_us,
        batched_us: (after.cpu_s_since(before) - idle_s) * 1e6 / changes,
        batched_bytes: after.sent_bytes_since(before) / changes,
        rate: changes / changes_s,
    })
}

fn start_gateways(
    fixture: &StoreFixture,
    program: Option<&Path>,
    count: usize,
    directory: &TempDir,
) -> anyhow::Result<Vec<GatepostProcess>> {
    let start = |number: usize| {
        GatepostProcess::start(StartOptions {
            program,
            directory: directory.path(),
            name: &format!("gateway-{number}"),
            // Nothing listens there: no request is sent.
            arguments: ["gateway", "--upstream", "http://127.0.0.1:9"].map(str::to_owned).into(),
            store: fixture.redis.url(),
            core: Core::Proxy,
            environment: Vec::new(),
        })
    };
    (0..count).map(start).collect()
}

/// Waits until all gateways have applied all changes.
async fn await_gateways(fixture: &StoreFixture, count: usize) -> anyhow::Result<()> {
    let last = fixture.store.last_position().await?;
    loop {
        let gateways = fixture.store.gateways().await?;
        if gateways.len() == count && gateways.iter().all(|gateway| gateway.cursor >= last) {
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn rename_often(fixture: &StoreFixture, mut key: Versioned<ApiKey>, changes: usize) -> anyhow::Result<()> {
    for number in 0..changes {
        key = fixture.rename_read(&key, format!("batched {number}")).await?;
    }
    Ok(())
}

impl Contender {
    /// Returns a figure of all rounds with a number of gateways.
    fn figures(&self, index: usize, read: impl Fn(&Measured) -> f64) -> Vec<f64> {
        self.rounds[index].iter().map(read).collect()
    }

    /// Returns a figure for each gateway, beyond what it is without gateways.
    fn per_gateway(&self, index: usize, read: impl Fn(&Measured) -> f64) -> Vec<f64> {
        let without = self.figures(0, &read);
        let figures = self.figures(index, &read);
        figures.iter().zip(without).map(|(figure, without)| (figure - without) / GATEWAYS[index] as f64).collect()
    }
}

fn findings(contenders: &[Contender]) -> Findings {
    let mut table = Table::with_columns(&[
        "gateways",
        "program",
        "idle, % of a core",
        "µs a change and gateway, alone",
        "in batches",
        "bytes, in batches",
        "µs a change, in batches",
        "changes/s of a full core",
        "changes/s here",
    ]);
    let mut json = serde_json::Map::new();
    for (index, count) in GATEWAYS.into_iter().enumerate() {
        for contender in contenders {
            table.add_row(row(contender, index));
            json.insert(format!("{} gateways, {}", count, contender.name), json!(contender.rounds[index]));
        }
    }
    let mut findings = Findings::of_table("Redis and its gateways", table, json.into());
    if let [now, earlier] = contenders {
        findings.tables.push(("In parts of the earlier release [95 %]".to_owned(), ratios(now, earlier)));
    }
    findings
}

fn row(contender: &Contender, index: usize) -> Vec<String> {
    let figure = |read: fn(&Measured) -> f64| median(&contender.figures(index, read));
    let per_gateway = |read: fn(&Measured) -> f64, decimals: usize| match index {
        0 => "-".to_owned(),
        _ => format!("{:.decimals$}", median(&contender.per_gateway(index, read))),
    };
    let batched_us = figure(|measured| measured.batched_us);
    vec![
        GATEWAYS[index].to_string(),
        contender.name.to_owned(),
        format!("{:.2}", figure(|measured| measured.idle_core) * 100.0),
        per_gateway(|measured| measured.single_us, 1),
        per_gateway(|measured| measured.batched_us, 2),
        per_gateway(|measured| measured.batched_bytes, 0),
        format!("{batched_us:.1}"),
        format!("{:.0}", 1e6 / batched_us),
        format!("{:.0}", figure(|measured| measured.rate)),
    ]
}

fn ratios(now: &Contender, earlier: &Contender) -> Table {
    let mut table = Table::with_columns(&["gateways", "idle", "a change, alone", "a change, in batches", "bytes"]);
    let reads: [fn(&Measured) -> f64; 4] = [
        |measured| measured.idle_core,
        |measured| measured.single_us,
        |measured| measured.batched_us,
        |measured| measured.batched_bytes,
    ];
    for (index, count) in GATEWAYS.into_iter().enumerate() {
        let ratio = |read| Ratio::paired(&now.figures(index, read), &earlier.figures(index, read)).to_string();
        table.add_row([vec![count.to_string()], reads.map(ratio).to_vec()].concat());
    }
    table
}

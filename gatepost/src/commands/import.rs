//! `gatepost import`: keys from elsewhere.

use std::sync::Arc;

use anyhow::Context;
use gatepost_control_plane::ControlPlane;
use gatepost_domain::time::Clock;
use gatepost_store::StoreUrl;
use gatepost_store::clock::SystemClock;
use gatepost_verify::Meters;
use indicatif::{ProgressBar, ProgressStyle};
use prometheus::Registry;

use crate::cli::{ImportOptions, Options};
use crate::config::Config;
use crate::control_socket;
use crate::import::{self, Order, Report};
use crate::output;
use crate::store;

const BAR: &str = "{wide_bar} {bytes}/{total_bytes}, {eta} left";

pub(crate) async fn run(options: &Options, asked: &ImportOptions) -> anyhow::Result<()> {
    let config = super::load(options)?;
    let order = Order {
        file: import::absolute(&asked.file)?,
        format: asked.format,
        project: asked.project.clone(),
        notify: asked.notify,
        dry_run: asked.dry_run,
    };
    if asked.strict {
        import::check_members(&order).await?;
    }
    let began = tokio::time::Instant::now();
    let report = match &config.store.url {
        StoreUrl::Embedded(directory) => match control_socket::import(directory, &order).await? {
            Some(report) => report,
            None => alone(&config, &order).await?,
        },
        StoreUrl::Redis(_) | StoreUrl::Memory => alone(&config, &order).await?,
    };
    print(&report, &order, began.elapsed().as_secs_f64())?;
    if report.refused == 0 { Ok(()) } else { anyhow::bail!("{} rows were refused", report.refused) }
}

/// Writes to the store itself, on Redis beside all other processes.
async fn alone(config: &Config, order: &Order) -> anyhow::Result<Report> {
    let use_cases = open(config).await?;
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(BAR)?);
    let report = import::run(&use_cases, order, &bar).await;
    bar.finish_and_clear();
    report
}

/// The use cases over the store of a configuration, for a command.
pub(super) async fn open(config: &Config) -> anyhow::Result<ControlPlane> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = store::open_existing(config, &clock).await?;
    let registry = Registry::new();
    let meters = Meters::start(store.clone(), Arc::clone(&clock), config.when_store_is_down, &registry)?;
    Ok(ControlPlane::new(store, clock, config.private_networks, meters, &registry)?)
}

fn print(report: &Report, order: &Order, took_s: f64) -> anyhow::Result<()> {
    let Report { made, there, refused, faults, unknown } = report;
    let (verb, total) = (if order.dry_run { "would be made" } else { "made" }, made + there + refused);
    let summary = format!("{total} rows: {made} {verb}, {there} there already, {refused} refused, in {took_s:.1} s");
    let unknown = unknown.iter().map(|what| format!("not imported: {what}"));
    let faults = faults.iter().map(|(number, why)| format!("row {number}: {why}"));
    let report = [summary].into_iter().chain(unknown).chain(faults).collect::<Vec<_>>().join("\n");
    output::line(&report).context(report)
}

//! `gatepost import`: keys from elsewhere.

use std::sync::Arc;

use anyhow::Context;
use gatepost_control_plane::ControlPlane;
use gatepost_domain::time::Clock;
use gatepost_store::StoreUrl;
use gatepost_store::clock::SystemClock;
use gatepost_verify::RateLimiter;
use indicatif::{ProgressBar, ProgressStyle};
use prometheus::Registry;

use crate::cli::{ImportOptions, Options};
use crate::config::Config;
use crate::control_socket;
use crate::import::{self, ImportReport, ImportRequest};
use crate::output;
use crate::store;

const PROGRESS_TEMPLATE: &str = "{wide_bar} {bytes}/{total_bytes}, {eta} left";

pub(crate) async fn run(options: &Options, arguments: &ImportOptions) -> anyhow::Result<()> {
    let config = super::load(options)?;
    let request = ImportRequest {
        file: import::absolute_path(&arguments.file)?,
        format: arguments.format,
        project: arguments.project.clone(),
        notify: arguments.notify,
        dry_run: arguments.dry_run,
    };
    if arguments.strict {
        import::check_unknown_members(&request).await?;
    }
    let began = tokio::time::Instant::now();
    let report = match &config.store.url {
        StoreUrl::Embedded(directory) => match control_socket::import(directory, &request).await? {
            Some(report) => report,
            None => import_directly(&config, &request).await?,
        },
        StoreUrl::Redis(_) | StoreUrl::Memory => import_directly(&config, &request).await?,
    };
    print(&report, &request, began.elapsed().as_secs_f64())?;
    if report.refused == 0 { Ok(()) } else { anyhow::bail!("{} rows were refused", report.refused) }
}

/// Writes to the store itself, on Redis beside all other processes.
async fn import_directly(config: &Config, request: &ImportRequest) -> anyhow::Result<ImportReport> {
    let use_cases = open_use_cases(config).await?;
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(PROGRESS_TEMPLATE)?);
    let report = import::run(&use_cases, request, &bar).await;
    bar.finish_and_clear();
    report
}

/// The use cases over the store of a configuration, for a command.
pub(super) async fn open_use_cases(config: &Config) -> anyhow::Result<ControlPlane> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = store::open_existing(config, &clock).await?;
    let registry = Registry::new();
    let rate_limiter = RateLimiter::start(store.clone(), Arc::clone(&clock), config.outage_policy, &registry)?;
    Ok(ControlPlane::new(store, clock, config.private_networks, rate_limiter, &registry)?)
}

fn print(report: &ImportReport, request: &ImportRequest, took_s: f64) -> anyhow::Result<()> {
    let ImportReport { made, there, refused, faults, unknown } = report;
    let (verb, total) = (if request.dry_run { "would be made" } else { "made" }, made + there + refused);
    let summary = format!("{total} rows: {made} {verb}, {there} there already, {refused} refused, in {took_s:.1} s");
    let unknown = unknown.iter().map(|what| format!("not imported: {what}"));
    let faults = faults.iter().map(|(number, why)| format!("row {number}: {why}"));
    let report = [summary].into_iter().chain(unknown).chain(faults).collect::<Vec<_>>().join("\n");
    output::print_line(&report).context(report)
}

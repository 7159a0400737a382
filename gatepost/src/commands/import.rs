//! `gatepost import`: imports keys from a file.

use anyhow::Context;
use gatepost_store::StoreUrl;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{ImportOptions, Options};
use crate::config::Config;
use crate::control_socket;
use crate::import::{self, ImportReport, ImportRequest};
use crate::output;
use crate::store::StoreInit;

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
    if !report.unknown.is_empty() {
        output::print_error_line(
            "warning: no key has the unknown columns or members above; --strict refuses a file with any",
        );
    }
    if report.refused == 0 { Ok(()) } else { anyhow::bail!("{} rows were rejected", report.refused) }
}

/// Writes to the store directly; on Redis, in parallel with all other processes.
async fn import_directly(config: &Config, request: &ImportRequest) -> anyhow::Result<ImportReport> {
    let use_cases = super::open_use_cases(config, StoreInit::MustExist).await?;
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(PROGRESS_TEMPLATE)?);
    let report = import::run(&use_cases, request, &bar).await;
    bar.finish_and_clear();
    report
}

fn print(report: &ImportReport, request: &ImportRequest, took_s: f64) -> anyhow::Result<()> {
    let ImportReport { made, there, refused, faults, unknown } = report;
    let (would_be, total) = (if request.dry_run { "would be " } else { "" }, made + there + refused);
    let summary = format!(
        "{total} rows: {made} {would_be}created, {there} already existed, {refused} rejected, in {took_s:.1} s"
    );
    let summary = match unknown.len() {
        0 => summary,
        count => format!("{summary}; NOT IMPORTED: {count} unknown columns or members"),
    };
    let unknown = unknown.iter().map(|what| format!("not imported: {what}"));
    let unlisted = refused - faults.len() as u64;
    let faults = faults.iter().map(|(number, why)| format!("row {number}: {why}"));
    let more = (unlisted > 0).then(|| format!("{unlisted} more rows were rejected"));
    let report = [summary].into_iter().chain(unknown).chain(faults).chain(more).collect::<Vec<_>>().join("\n");
    output::print_line(&report).context(report)
}

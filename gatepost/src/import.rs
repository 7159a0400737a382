//! Import of keys from a file: a dedicated thread reads the rows, and many are written concurrently.

use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use gatepost_admin::{FileItem, UnknownRowMembers, parse_import_row, read_import_file};
use gatepost_control_plane::{ControlPlane, Failure, ImportOptions, ImportOutcome, Importer, Notify, RunMode};
use gatepost_domain::problem::ErrorCode;
use gatepost_runtime::{Panicked, Task};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::cli::ImportFormat;

/// Maximum number of concurrent writes.
const MAX_IN_FLIGHT: usize = 256;
/// Maximum number of rows that are read ahead.
const MAX_ROWS_AHEAD: usize = 2048;
/// Maximum number of errors in a report. All are counted.
const MAX_REPORTED_ERRORS: usize = 20;

/// Import, as the command line sends it to a running process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ImportRequest {
    pub(crate) file: PathBuf,
    pub(crate) format: ImportFormat,
    pub(crate) project: Option<String>,
    pub(crate) notify: bool,
    pub(crate) dry_run: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ImportReport {
    pub(crate) made: u64,
    pub(crate) there: u64,
    pub(crate) refused: u64,
    /// First errors: row number and reason.
    pub(crate) faults: Vec<(u64, String)>,
    /// Unknown columns and members, each once, with a similar known name if there is one.
    #[serde(default)]
    pub(crate) unknown: Vec<String>,
}

/// Next item, or the error that ends the import.
type ReadResult = anyhow::Result<FileItem>;

/// Imports all keys of a file.
pub(crate) async fn run(
    use_cases: &ControlPlane,
    request: &ImportRequest,
    bar: &ProgressBar,
) -> anyhow::Result<ImportReport> {
    let importer = use_cases.importer(ImportOptions {
        project: request.project.clone(),
        notify: if request.notify { Notify::Webhooks } else { Notify::Nobody },
        mode: if request.dry_run { RunMode::DryRun } else { RunMode::Apply },
    });
    let unknown = UnknownRowMembers::default();
    let mut rows = RowReader::start(request, bar)?;
    let mut report = ImportReport::default();
    let stream = futures::stream::poll_fn(|context| rows.items.poll_recv(context));
    let mut outcomes = stream.map(|read| import_row(&importer, &unknown, read)).buffer_unordered(MAX_IN_FLIGHT);
    while let Some(outcome) = outcomes.next().await {
        report.add(outcome?);
    }
    drop(outcomes);
    rows.join().await?;
    report.faults.sort_unstable();
    report.unknown = unknown.lines();
    Ok(report)
}

/// Reads a whole file, and fails if any column or member of a row is unknown.
pub(crate) async fn check_unknown_members(request: &ImportRequest) -> anyhow::Result<()> {
    let unknown = UnknownRowMembers::default();
    let mut rows = RowReader::start(request, &ProgressBar::hidden())?;
    while let Some(read) = rows.items.recv().await {
        match read? {
            // Other errors of a row are reported when it is imported.
            FileItem::Columns(row) | FileItem::Row(_, row) => {
                let _ = unknown.record(&row);
            }
            FileItem::Unreadable(..) => {}
        }
    }
    rows.join().await?;
    let lines = unknown.lines();
    if lines.is_empty() { Ok(()) } else { bail!("nothing was imported:\n{}", lines.join("\n")) }
}

/// Rows of a file, which a dedicated thread reads ahead.
struct RowReader {
    items: mpsc::Receiver<ReadResult>,
    reader_task: BoxFuture<'static, Result<(), Panicked>>,
}

impl RowReader {
    fn start(request: &ImportRequest, bar: &ProgressBar) -> anyhow::Result<Self> {
        let (rows, items) = mpsc::channel(MAX_ROWS_AHEAD);
        let file = File::open(&request.file).with_context(|| format!("cannot read {}", request.file.display()))?;
        bar.set_length(file.metadata()?.len());
        let (format, reader_progress) = (request.format.into(), bar.clone());
        let reader_task = gatepost_runtime::run_blocking(Task::ImportFile, move || {
            let send = |item| match rows.blocking_send(Ok(item)) {
                Ok(()) => ControlFlow::Continue(()),
                // After a failed import there is no receiver.
                Err(_) => ControlFlow::Break(()),
            };
            if let Err(error) = read_import_file(BufReader::new(reader_progress.wrap_read(file)), format, send) {
                let _ = rows.blocking_send(Err(error.into()));
            }
        });
        Ok(Self { items, reader_task: reader_task.boxed() })
    }

    /// Waits for the reader thread.
    async fn join(self) -> anyhow::Result<()> {
        let read = self.reader_task.await;
        read.map_err(|Panicked| anyhow!("reading the file panicked: run the import again to resume"))
    }
}

enum RowOutcome {
    Header,
    Done(ImportOutcome),
    Refused(u64, String),
}

async fn import_row(importer: &Importer, unknown: &UnknownRowMembers, read: ReadResult) -> anyhow::Result<RowOutcome> {
    let (number, row) = match read? {
        FileItem::Columns(columns) => {
            unknown.record(&columns)?;
            return Ok(RowOutcome::Header);
        }
        FileItem::Row(number, row) => (number, row),
        FileItem::Unreadable(number, why) => return Ok(RowOutcome::Refused(number, why)),
    };
    match import(importer, unknown, row).await {
        Ok(imported) => Ok(RowOutcome::Done(imported)),
        Err(Failure::Refused(problem)) if problem.code == ErrorCode::Validation => {
            Ok(RowOutcome::Refused(number, problem.detail.into_owned()))
        }
        Err(failure) => {
            Err(anyhow!(failure).context(format!("the import failed at row {number} (run it again to resume)")))
        }
    }
}

async fn import(importer: &Importer, unknown: &UnknownRowMembers, row: Value) -> Result<ImportOutcome, Failure> {
    unknown.record(&row)?;
    importer.import(parse_import_row(row)?).await
}

impl ImportReport {
    fn add(&mut self, outcome: RowOutcome) {
        match outcome {
            RowOutcome::Header => {}
            RowOutcome::Done(ImportOutcome::Created) => self.made += 1,
            RowOutcome::Done(ImportOutcome::AlreadyExists) => self.there += 1,
            RowOutcome::Refused(number, why) => {
                self.refused += 1;
                if self.faults.len() < MAX_REPORTED_ERRORS {
                    self.faults.push((number, why));
                }
            }
        }
    }
}

/// Returns the absolute path, for a process with another working directory.
pub(crate) fn absolute_path(file: &Path) -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(file)?)
}

//! Bringing keys in from a file: rows are read on a thread of their own, and many are written at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use gatepost_admin::{UnknownRowMembers, parse_import_row, parse_json};
use gatepost_control_plane::{ControlPlane, Failure, ImportOptions, ImportOutcome, Importer, Notify, RunMode};
use gatepost_domain::problem::ErrorCode;
use gatepost_runtime::{Panicked, Task};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::cli::ImportFormat;

/// Keys that are written at a time.
const MAX_IN_FLIGHT: usize = 256;
/// Rows that are read ahead.
const MAX_ROWS_AHEAD: usize = 2048;
/// Faults that a report tells; of more it tells the number.
const MAX_REPORTED_ERRORS: usize = 20;
/// Columns of a CSV file that are texts; others are JSON.
const TEXT_COLUMNS: [&str; 9] =
    ["key", "sha256", "name", "projectId", "customAccountId", "customUserId", "expiry", "clientIP", "clientUserAgent"];

/// What is to be brought in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ImportRequest {
    pub(crate) file: PathBuf,
    pub(crate) format: ImportFormat,
    pub(crate) project: Option<String>,
    pub(crate) notify: bool,
    pub(crate) dry_run: bool,
}

/// What became of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ImportReport {
    pub(crate) made: u64,
    pub(crate) there: u64,
    pub(crate) refused: u64,
    /// The first refusals: number of the row, and why.
    pub(crate) faults: Vec<(u64, String)>,
    /// Columns and members that are not known, each once, with the nearest known one.
    #[serde(default)]
    pub(crate) unknown: Vec<String>,
}

/// A part of a file.
enum FileItem {
    /// The columns, as a row without values.
    Columns(Value),
    /// A row and its number.
    Row(u64, Value),
    /// What was no row, and why.
    Unreadable(u64, String),
}

/// The next part; or why the file cannot be read on.
type ReadResult = anyhow::Result<FileItem>;

/// Brings in all keys of a file.
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

/// Reads a whole file, and fails if a column or a member of a row is not known.
pub(crate) async fn check_unknown_members(request: &ImportRequest) -> anyhow::Result<()> {
    let unknown = UnknownRowMembers::default();
    let mut rows = RowReader::start(request, &ProgressBar::hidden())?;
    while let Some(read) = rows.items.recv().await {
        match read? {
            // What is wrong with a row otherwise is reported when it is imported.
            FileItem::Columns(row) | FileItem::Row(_, row) => drop(unknown.record(&row)),
            FileItem::Unreadable(..) => {}
        }
    }
    rows.join().await?;
    let lines = unknown.lines();
    if lines.is_empty() { Ok(()) } else { bail!("nothing was imported:\n{}", lines.join("\n")) }
}

/// The rows of a file, which a thread of their own reads ahead.
struct RowReader {
    items: mpsc::Receiver<ReadResult>,
    reader_task: BoxFuture<'static, Result<(), Panicked>>,
}

impl RowReader {
    fn start(request: &ImportRequest, bar: &ProgressBar) -> anyhow::Result<Self> {
        let (rows, items) = mpsc::channel(MAX_ROWS_AHEAD);
        let file = File::open(&request.file).with_context(|| format!("cannot read {}", request.file.display()))?;
        bar.set_length(file.metadata()?.len());
        let (format, reader_progress) = (request.format, bar.clone());
        let reader_task = gatepost_runtime::run_blocking(Task::ImportFile, move || {
            let mut reader = BufReader::new(reader_progress.wrap_read(file));
            let read = skip_byte_order_mark(&mut reader).map_err(Into::into).and_then(|()| match format {
                ImportFormat::Csv => read_csv(reader, &rows),
                ImportFormat::Json => read_json(reader, &rows),
            });
            if let Err(error) = read {
                // Nobody waits any more where the import has failed.
                drop(rows.blocking_send(Err(error)));
            }
        });
        Ok(Self { items, reader_task: reader_task.boxed() })
    }

    /// Waits for the end of the reading.
    async fn join(self) -> anyhow::Result<()> {
        let read = self.reader_task.await;
        read.map_err(|Panicked| anyhow!("reading the file panicked: run the import again to go on"))
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
        Err(failure) => bail!("stopped at row {number}: {failure}; run it again to go on"),
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

fn read_csv(reader: impl Read, rows: &mpsc::Sender<ReadResult>) -> anyhow::Result<()> {
    let mut reader = csv::Reader::from_reader(reader);
    let names = reader.headers().context("the first line must name the columns")?.clone();
    if !names.iter().any(|name| matches!(name, "key" | "sha256")) {
        bail!("the first line must name the columns, one of them key or sha256");
    }
    let columns = FileItem::Columns(names.iter().map(|name| (name.to_owned(), Value::Null)).collect());
    let parts = (1..).zip(reader.records()).map(|(number, record)| match record {
        Ok(record) => Ok(FileItem::Row(number, row_from_record(&names, &record))),
        Err(error) if error.is_io_error() => Err(error.into()),
        // What the library says may hold a part of the row.
        Err(_) => {
            let why = "the row has another number of columns than the first line, or is no text";
            Ok(FileItem::Unreadable(number, why.to_owned()))
        }
    });
    for part in std::iter::once(Ok(columns)).chain(parts) {
        let is_last = part.is_err();
        if rows.blocking_send(part).is_err() || is_last {
            break;
        }
    }
    Ok(())
}

/// Empty cells are absent members.
fn row_from_record(names: &csv::StringRecord, record: &csv::StringRecord) -> Value {
    let mut row = Map::new();
    for (name, cell) in names.iter().zip(record).filter(|(_, cell)| !cell.is_empty()) {
        let text = || Value::from(cell);
        let value =
            if TEXT_COLUMNS.contains(&name) { text() } else { serde_json::from_str(cell).unwrap_or_else(|_| text()) };
        row.insert(name.to_owned(), value);
    }
    Value::Object(row)
}

fn read_json(mut reader: impl BufRead, rows: &mpsc::Sender<ReadResult>) -> anyhow::Result<()> {
    let send = |number, row: &RawValue| rows.blocking_send(Ok(row_from_json(number, row)));
    let is_array = loop {
        match reader.fill_buf()?.first() {
            Some(byte) if byte.is_ascii_whitespace() => reader.consume(1),
            first => break first == Some(&b'['),
        }
    };
    if is_array {
        let all: Vec<Box<RawValue>> = serde_json::from_reader(reader).map_err(|error| syntax_error(&error))?;
        for (number, row) in (1..).zip(all) {
            if send(number, &row).is_err() {
                break;
            }
        }
        return Ok(());
    }
    for (number, row) in (1..).zip(serde_json::Deserializer::from_reader(reader).into_iter::<Box<RawValue>>()) {
        let row = row.map_err(|error| syntax_error(&error))?;
        if send(number, &row).is_err() {
            break;
        }
    }
    Ok(())
}

fn row_from_json(number: u64, row: &RawValue) -> FileItem {
    match parse_json(row.get().as_bytes()) {
        Ok(row) => FileItem::Row(number, row),
        Err(failure) => FileItem::Unreadable(number, failure.to_string()),
    }
}

/// What some programs put before text to say that it is UTF-8 is no part of it.
fn skip_byte_order_mark(reader: &mut impl BufRead) -> std::io::Result<()> {
    if reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    Ok(())
}

fn syntax_error(error: &serde_json::Error) -> anyhow::Error {
    anyhow::anyhow!("the file is no JSON at line {}, column {}", error.line(), error.column())
}

/// How the file stands for a process elsewhere.
pub(crate) fn absolute_path(file: &Path) -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(file)?)
}

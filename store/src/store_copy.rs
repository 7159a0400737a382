//! Copying a whole store to another address: from an embedded store to Redis, back, or from one Redis to another.
//!
//! Both sides are read and written entry by entry, so memory is bounded. Until the entries of both sides have been
//! compared, no process can open the copy.

mod comparison;
#[cfg(test)]
mod tests;

use futures::future;
use gatepost_domain::id::StoreId;
use gatepost_domain::time::Clock;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::backend::Backend;
use crate::copied_entry::{CopiedBatch, CopiedEntry, CopyTarget};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::format::{self, Format};
use crate::options::StoreOptions;
use crate::store::open_backend;
use crate::store_header::{StoreHeader, is_unfinished_copy};
use crate::url::StoreUrl;

pub use comparison::KindCount;
use comparison::Summary;

/// Batches that are read ahead of the writer.
const READ_AHEAD: usize = 2;
/// Entries that expire within this time are not compared: they may expire between the two readings.
const COMPARISON_MARGIN_MS: u64 = 3_600_000;
/// Comparisons. A Redis that resizes its tables may list keys twice.
const MAX_COMPARISONS: u32 = 3;

/// Why a store was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Processes use the source.
    #[error("{0} uses the store: stop every gateway, control plane and deliverer, and run the command again")]
    SourceInUse(String),
    /// There is something at the address of the copy.
    #[error("{0} is not empty: copy to an empty directory, database or namespace")]
    TargetInUse(String),
    /// The address of the copy has the same store already.
    #[error(
        "{0} has this store already: an earlier copy was finished, or both addresses lead to the same store. For another \
         copy, choose an empty directory, database or namespace"
    )]
    AlreadyCopied(String),
    /// The address of the copy has the unfinished copy of another store.
    #[error("{address} has an unfinished copy of another store, {store}: finish that one, or copy to another address")]
    OtherCopy {
        /// The address.
        address: String,
        /// The other store's id.
        store: StoreId,
    },
    /// The copy differs from the source.
    #[error("{0}: a process may have used the source meanwhile; stop it, and run the command again")]
    Different(String),
    /// A store operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyProgress {
    /// Entries written so far, by this call.
    Written(u64),
    /// Entries of both sides read for the comparison.
    Compared(u64),
}

/// A finished copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyReport {
    /// Id of the store, the same on both sides.
    pub store: StoreId,
    /// Whether the copy continued an interrupted one.
    pub start: CopyStart,
    /// Entries of both sides, by kind.
    pub counts: Vec<KindCount>,
    /// Checksum of the compared entries of both sides, in hex.
    pub checksum: String,
}

/// How a copy began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyStart {
    /// Into an empty target.
    New,
    /// Where an interrupted copy had stopped.
    Resumed,
    /// From the start, because the source had changed since an interrupted copy.
    Restarted,
}

/// Mark of an unfinished copy, stored in its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Id of the source.
    store: String,
    /// Numbers of the source when the copy began. If they differ, it has changed since.
    numbers: Vec<(String, u64)>,
    /// Position in the source through which everything is written.
    position: Option<String>,
}

/// Copies the store of one address to another one, which must be empty or have an unfinished copy of the same store.
/// Nothing of the source is changed. Needs no master key: sealed values are copied as they are.
///
/// # Errors
///
/// [`CopyError`]. After each of them the copy can be run again, and continues where it stopped.
pub async fn copy_store(
    from: &StoreOptions,
    to: &StoreOptions,
    progress: impl Fn(CopyProgress) + Send + Sync,
) -> std::result::Result<CopyReport, CopyError> {
    let (source, header) = open_source(from).await?;
    check_unused(&source).await?;
    if from.url == to.url && matches!(to.url, StoreUrl::Embedded(_)) {
        return Err(CopyError::AlreadyCopied(address(to)));
    }
    let target = open_target(to).await?;
    let numbers = source.store_numbers().await?;
    let numbers = numbers.into_iter().map(|(number, value)| (number.embedded_field().to_owned(), value)).collect();
    let (start, mut mark) =
        prepare(&target, to, Mark { store: header.id.to_string(), numbers, position: None }).await?;
    let copy = Copy { source, target, clock: from.clock.as_ref(), progress: &progress };
    copy.transfer(&mut mark).await?;
    let summary = match copy.compare().await {
        Err(CopyError::Different(what)) => {
            // What is written may be outdated: the next call begins again.
            mark.mark.numbers.clear();
            mark.write(&copy.target).await?;
            return Err(CopyError::Different(what));
        }
        compared => compared?,
    };
    check_unused(&copy.source).await?;
    // The master key may have been rotated meanwhile.
    let header = copy.source.open().await?.unwrap_or(header);
    let waiting = summary.count_of("waiting deliveries");
    let store = header.id.clone();
    copy.target.finish_copy(mark.stored, header, waiting).await?;
    Ok(CopyReport { store, start, counts: summary.counts(), checksum: summary.checksum() })
}

async fn open_source(from: &StoreOptions) -> Result<(Backend, StoreHeader)> {
    let missing = || StoreErrorKind::WrongStore.with(format!("there is no store at {}", from.url));
    match &from.url {
        StoreUrl::Embedded(directory) if !crate::embedded::database_exists(directory) => return Err(missing()),
        StoreUrl::Memory => return Err(missing()),
        StoreUrl::Embedded(_) | StoreUrl::Redis(_) => {}
    }
    let source = open_backend(from).await?;
    let header = source.open().await?.ok_or_else(missing)?;
    if is_unfinished_copy(&header) {
        return Err(StoreErrorKind::Refused.with(format!("{} is itself an unfinished copy", from.url)));
    }
    if header.min_reader > Format::LATEST.number() {
        return Err(StoreErrorKind::Refused.with(format::unsupported_format_message(header.min_reader)));
    }
    Ok((source, header))
}

async fn open_target(to: &StoreOptions) -> Result<Backend> {
    if to.url == StoreUrl::Memory {
        return Err(StoreErrorKind::Refused.with("a store in memory is lost when the command ends"));
    }
    open_backend(to).await
}

/// Checks that no process uses a store, as far as the store knows: gateways register, and deliverers lease deliveries. An
/// embedded store is locked by the process that uses it.
async fn check_unused(source: &Backend) -> std::result::Result<(), CopyError> {
    if matches!(source, Backend::Embedded(_)) {
        return Ok(());
    }
    let gateways = source.gateways().await?;
    if let Some(gateway) = gateways.first() {
        let name = gateway.label.as_ref().map_or(gateway.id.as_str(), |label| label.name.as_str());
        let user = match gateways.len() {
            1 => format!("the gateway {name}"),
            count => format!("the gateway {name}, one of {count},"),
        };
        return Err(CopyError::SourceInUse(user));
    }
    match source.queue_stats().await?.leased {
        0 => Ok(()),
        _ => Err(CopyError::SourceInUse("a deliverer (its leases end within 30 s after it)".to_owned())),
    }
}

/// Begins the copy, or finds where an earlier one stopped.
async fn prepare(
    target: &Backend,
    to: &StoreOptions,
    mark: Mark,
) -> std::result::Result<(CopyStart, WrittenMark), CopyError> {
    let stored = match target.copy_target().await? {
        CopyTarget::InUse if has_store(target, &mark.store).await => return Err(CopyError::AlreadyCopied(address(to))),
        CopyTarget::InUse => return Err(CopyError::TargetInUse(address(to))),
        CopyTarget::Empty => return Ok((CopyStart::New, WrittenMark::begin(target, mark).await?)),
        CopyTarget::Unfinished(stored) => stored,
    };
    let found: Mark = serde_json::from_slice(&stored).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    if found.store != mark.store {
        let store = StoreId::parse(&found.store).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        return Err(CopyError::OtherCopy { address: address(to), store });
    }
    if found.numbers == mark.numbers {
        return Ok((CopyStart::Resumed, WrittenMark { mark: found, stored }));
    }
    target.discard_copy().await?;
    Ok((CopyStart::Restarted, WrittenMark::begin(target, mark).await?))
}

/// Returns whether the target is a store of this id. One that cannot be read is another.
async fn has_store(target: &Backend, id: &str) -> bool {
    matches!(target.open().await, Ok(Some(header)) if header.id.as_str() == id)
}

/// Returns the address of a store, on Redis with its namespace.
fn address(options: &StoreOptions) -> String {
    match &options.url {
        StoreUrl::Redis(url) => format!("{url}, namespace {}", options.namespace),
        StoreUrl::Embedded(_) | StoreUrl::Memory => options.url.to_string(),
    }
}

fn encode(mark: &Mark) -> Result<Vec<u8>> {
    serde_json::to_vec(mark).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

/// A mark, and how it is stored.
struct WrittenMark {
    mark: Mark,
    stored: Vec<u8>,
}

impl WrittenMark {
    async fn begin(target: &Backend, mark: Mark) -> Result<Self> {
        let stored = encode(&mark)?;
        target.mark_copy(None, stored.clone()).await?;
        Ok(Self { mark, stored })
    }

    async fn write(&mut self, target: &Backend) -> Result<()> {
        let stored = encode(&self.mark)?;
        target.mark_copy(Some(std::mem::take(&mut self.stored)), stored.clone()).await?;
        self.stored = stored;
        Ok(())
    }
}

/// A copy that runs.
struct Copy<'a, P> {
    source: Backend,
    target: Backend,
    clock: &'a dyn Clock,
    progress: &'a P,
}

impl<P: Fn(CopyProgress) + Send + Sync> Copy<'_, P> {
    /// Copies everything after the mark's position, except what has expired.
    async fn transfer(&self, mark: &mut WrittenMark) -> Result<()> {
        let now_ms = self.clock.now().as_ms();
        let (out, mut batches) = mpsc::channel(READ_AHEAD);
        let reading = self.source.read_entries(mark.mark.position.clone(), out);
        let writing = async move {
            let mut written = 0;
            while let Some(CopiedBatch { mut entries, position }) = batches.recv().await {
                entries.retain(|entry| lasts_until(entry, now_ms));
                written += entries.len() as u64;
                if !entries.is_empty() {
                    self.target.write_entries(entries).await?;
                }
                if position.is_some() {
                    mark.mark.position = position;
                    mark.write(&self.target).await?;
                }
                (self.progress)(CopyProgress::Written(written));
            }
            Ok(())
        };
        read_and_consume(reading, writing).await
    }

    /// Compares all entries of both sides.
    async fn compare(&self) -> std::result::Result<Summary, CopyError> {
        let mut difference = String::new();
        for _ in 0..MAX_COMPARISONS {
            let horizon_ms = self.clock.now().as_ms() + COMPARISON_MARGIN_MS;
            let copy = self.summarize(&self.target, horizon_ms, 0).await?;
            let source = self.summarize(&self.source, horizon_ms, copy.total()).await?;
            match source.difference_to(&copy) {
                None => return Ok(source),
                Some(found) => difference = found,
            }
        }
        Err(CopyError::Different(difference))
    }

    async fn summarize(&self, side: &Backend, horizon_ms: u64, before: u64) -> Result<Summary> {
        let (out, mut batches) = mpsc::channel(READ_AHEAD);
        let reading = side.read_entries(None, out);
        let adding = async move {
            let mut summary = Summary::default();
            while let Some(batch) = batches.recv().await {
                let lasting = batch.entries.iter().filter(|entry| lasts_until(entry, horizon_ms));
                lasting.for_each(|entry| summary.add(entry));
                (self.progress)(CopyProgress::Compared(before + summary.total()));
            }
            Ok(summary)
        };
        read_and_consume(reading, adding).await
    }
}

fn lasts_until(entry: &CopiedEntry, ms: u64) -> bool {
    entry.expires_ms().is_none_or(|expires_ms| ms < expires_ms)
}

/// Runs a reader and the consumer of what it reads, which owns the receiver: if it fails, the reader fails too. Its error
/// is the cause then.
async fn read_and_consume<T>(
    reading: impl Future<Output = Result<()>>,
    consuming: impl Future<Output = Result<T>>,
) -> Result<T> {
    let (read, consumed) = future::join(reading, consuming).await;
    let consumed = consumed?;
    read.map(|()| consumed)
}

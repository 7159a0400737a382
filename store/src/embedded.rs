//! The embedded backend: redb, in one process, on disk or in memory. Acknowledged writes are on disk.

mod account_counts;
mod backup;
mod dead_letters;
mod deliveries;
mod disk_space;
mod entries;
mod gateway_ops;
mod migrations;
mod queue;
mod queue_reads;
mod rate_limits;
mod records;
mod sealed;
mod stored_responses;
mod tables;
mod trim;
mod usage;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost_domain::id::{GatewayId, StoreId};
use gatepost_domain::time::{Clock, Timestamp, Version};
use gatepost_runtime::{Panicked, Task};
use redb::backends::InMemoryBackend;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};
use tokio::sync::watch;

use crate::change::checksum_mode;
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::format::{self, Format};
use crate::ops::{RegisteredGateway, ReplayStats};
use crate::options::{COMMIT_TIMEOUT, ClockSkew, StoreOptions};
use crate::store_header::{self, StoreHeader};
use disk_space::DiskSpace;
use tables::META;
use writer::Writer;

/// Name of the database file in the store's directory.
const DATABASE_FILE: &str = "gatepost.redb";
/// Size of redb's page cache in bytes.
const CACHE_BYTES: usize = 64 << 20;

/// An embedded store. Clones share it.
#[derive(Clone)]
pub(crate) struct Embedded {
    inner: Arc<Inner>,
}

struct Inner {
    // Dropped before the database, which the writer's last operations need.
    writer: Writer,
    database: Arc<Database>,
    disk_space: DiskSpace,
    clock: Arc<dyn Clock>,
    skew: ClockSkew,
    max_entries: u64,
    last_position: watch::Sender<Version>,
    /// Registered gateways: they run in this process, so the list need not outlive it.
    gateways: Mutex<HashMap<GatewayId, RegisteredGateway>>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Embedded")
    }
}

impl Embedded {
    /// Opens the store in a directory, which is created if missing, or in memory.
    pub(crate) async fn open_or_create(path: Option<&Path>, options: &StoreOptions) -> Result<Self> {
        let (disk_space, path) = (DiskSpace::new(path), path.map(Path::to_path_buf));
        let database = Arc::new(read_blocking(move || open_database(path.as_deref())).await?);
        let inner = Inner {
            writer: Writer::start(Arc::clone(&database))?,
            database,
            disk_space,
            clock: Arc::clone(&options.clock),
            skew: options.clock_skew.clone(),
            max_entries: options.max_fan_out_backlog,
            last_position: watch::Sender::new(Version::ZERO),
            gateways: Mutex::default(),
        };
        let store = Self { inner: Arc::new(inner) };
        // Without a deadline: no operation can run before it.
        store.inner.writer.perform(create_tables).await?;
        store.inner.last_position.send_replace(store.last_position().await?);
        Ok(store)
    }

    pub(crate) async fn open(&self) -> Result<Option<StoreHeader>> {
        read_header(&self.read()?)
    }

    pub(crate) async fn create(&self, header: StoreHeader) -> Result<StoreHeader> {
        self.perform(move |transaction| {
            let mut meta = transaction.open_table(META).map_err(store_error)?;
            if meta.get("id").map_err(store_error)?.is_some() {
                return Ok(());
            }
            if header.format > Format::FIRST.number() {
                account_counts::mark_complete(&mut meta)?;
            }
            put_header(&mut meta, &header)
        })
        .await?;
        self.open().await?.ok_or_else(|| StoreErrorKind::Corrupt.with("the store is missing right after its creation"))
    }

    pub(crate) async fn raise_format(&self, header: StoreHeader) -> Result<()> {
        self.perform(move |transaction| {
            let mut meta = transaction.open_table(META).map_err(store_error)?;
            if read_number(&meta, "format")? < u64::from(header.format) {
                put_header(&mut meta, &header)
            } else {
                Ok(())
            }
        })
        .await
    }

    pub(crate) async fn full_reason(&self) -> Result<Option<String>> {
        match self.inner.disk_space.check_for_ordinary() {
            Err(error) if error.kind() == StoreErrorKind::Full => Ok(Some(error.to_string())),
            available => available.map(|()| None),
        }
    }

    /// Returns zeros: acknowledged writes are on disk, so none is ever replayed.
    pub(crate) async fn replay_stats(&self) -> Result<ReplayStats> {
        Ok(ReplayStats::default())
    }

    pub(crate) async fn warnings(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn read(&self) -> Result<ReadTransaction> {
        self.inner.database.begin_read().map_err(store_error)
    }

    /// Performs a write, see [`Writer::perform`], within 5 s.
    async fn perform<T, F>(&self, op: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&WriteTransaction) -> Result<T> + Send + 'static,
    {
        self.perform_within(COMMIT_TIMEOUT, op).await
    }

    /// Performs a write within a deadline. A write that misses it may still be applied.
    async fn perform_within<T, F>(&self, deadline: Duration, op: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&WriteTransaction) -> Result<T> + Send + 'static,
    {
        self.inner.disk_space.check_for_urgent()?;
        let result = tokio::time::timeout(deadline, self.inner.writer.perform(op)).await;
        result.unwrap_or_else(|_| {
            Err(StoreErrorKind::Unavailable.with(format!("the disk did not reply within {} ms", deadline.as_millis())))
        })
    }

    /// Wakes readers of the feed.
    fn publish_position(&self, version: Version) {
        self.inner.last_position.send_if_modified(|last| {
            let is_new = *last < version;
            *last = (*last).max(version);
            is_new
        });
    }

    /// Returns the time of the store's clock.
    fn now(&self) -> Timestamp {
        let ms = self.inner.clock.now().as_ms();
        Timestamp::from_ms(ms.saturating_add_signed(self.inner.skew.ms()))
    }
}

/// Runs a read that may take long on a blocking thread.
async fn read_blocking<T: Send + 'static>(operation: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let result = gatepost_runtime::run_blocking(Task::StoreRead, operation).await;
    result.unwrap_or_else(|Panicked| Err(StoreErrorKind::Unavailable.with("a store read panicked")))
}

fn open_database(path: Option<&Path>) -> Result<Database> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let Some(directory) = path else {
        return builder.create_with_backend(InMemoryBackend::new()).map_err(store_error);
    };
    make_directory(directory)?;
    let file = directory.join(DATABASE_FILE);
    make_private(&file)?;
    builder.create(&file).map_err(|error| {
        if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
            return StoreErrorKind::Refused.with(format!("{} is in use by another process", file.display()));
        }
        store_error(error)
    })
}

fn make_directory(directory: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf());
    created.map_err(|error| {
        let text = format!(
            "cannot create the directory {}: {error}; choose another with --store embedded:PATH",
            absolute.display()
        );
        StoreErrorKind::Refused.with(text)
    })
}

/// Restricts the file to its owner, including one that an older version of the program created.
fn make_private(file: &Path) -> Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let refused = |error: std::io::Error| StoreErrorKind::Refused.with(format!("{}: {error}", file.display()));
    let mut options = std::fs::OpenOptions::new();
    let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(file).map_err(refused)?;
    opened.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(refused)
}

/// Creates missing tables, unless only later programs can read the store.
fn create_tables(transaction: &WriteTransaction) -> Result<()> {
    let min_reader = read_number(&transaction.open_table(META).map_err(store_error)?, "min_reader")?;
    if min_reader > u64::from(Format::LATEST.number()) {
        let min_reader = u32::try_from(min_reader).unwrap_or(u32::MAX);
        return Err(StoreErrorKind::Refused.with(format::unsupported_format_message(min_reader)));
    }
    macro_rules! make {
        ($($name:ident),*) => { $(transaction.open_table(tables::$name).map_err(store_error)?;)* };
    }
    tables::all!(make);
    migrations::backfill_delivery_sequence(transaction)?;
    migrations::backfill_dead_letter_counts(transaction)
}

fn read_header(transaction: &ReadTransaction) -> Result<Option<StoreHeader>> {
    let meta = transaction.open_table(META).map_err(store_error)?;
    let read_field = |name: &str| -> Result<Option<Vec<u8>>> {
        Ok(meta.get(name).map_err(store_error)?.map(|bytes| bytes.value().to_vec()))
    };
    let Some(id) = read_field("store_id")?.or(read_field("id")?) else { return Ok(None) };
    let id = std::str::from_utf8(&id).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    // The first format has no format numbers.
    let read_format = |name: &str| -> Result<u32> {
        let number = read_number(&meta, name)?.max(u64::from(Format::FIRST.number()));
        u32::try_from(number).map_err(|error| StoreErrorKind::Corrupt.with(error))
    };
    Ok(Some(StoreHeader {
        id: StoreId::parse(id).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        envelope: read_field("sealed_envelope")?.or(read_field("envelope")?).unwrap_or_default(),
        checksum: checksum_mode(read_number(&meta, "loose_checksum")? > 0),
        format: read_format("format")?,
        min_reader: read_format("min_reader")?,
    }))
}

fn put_header(meta: &mut redb::Table<'_, &'static str, &'static [u8]>, header: &StoreHeader) -> Result<()> {
    for (name, value) in store_header::text_fields(header) {
        meta.insert(name, value.as_slice()).map_err(store_error)?;
    }
    if header.format > Format::FIRST.number() {
        set_number(meta, "format", u64::from(header.format))?;
        set_number(meta, "min_reader", u64::from(header.min_reader))?;
    }
    Ok(())
}

/// Reads a number from the meta table; 0 if it was never set.
fn read_number(meta: &impl ReadableTable<&'static str, &'static [u8]>, name: &str) -> Result<u64> {
    let bytes = meta.get(name).map_err(store_error)?;
    Ok(bytes.and_then(|bytes| bytes.value().try_into().ok()).map_or(0, u64::from_be_bytes))
}

fn set_number(meta: &mut redb::Table<'_, &'static str, &'static [u8]>, name: &str, value: u64) -> Result<()> {
    meta.insert(name, value.to_be_bytes().as_slice()).map_err(store_error)?;
    Ok(())
}

/// Maps an error of redb to the store's error kinds.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's kinds are open, and most mean an outage")]
fn store_error(error: impl Into<redb::Error>) -> StoreError {
    let error = error.into();
    let kind = match &error {
        redb::Error::Io(source) if source.kind() == std::io::ErrorKind::StorageFull => StoreErrorKind::Full,
        redb::Error::Corrupted(_) | redb::Error::RepairAborted => StoreErrorKind::Corrupt,
        redb::Error::UpgradeRequired(_) => StoreErrorKind::Refused,
        _ => StoreErrorKind::Unavailable,
    };
    kind.with(error)
}

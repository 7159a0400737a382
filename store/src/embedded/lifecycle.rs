//! Opening, creating and upgrading a store, and what it reports of itself.

use std::path::Path;
use std::sync::{Arc, Mutex};

use gatepost_domain::time::Version;
use gatepost_runtime::error_chain;
use redb::{ReadableTable, WriteTransaction};
use tokio::sync::watch;

use super::database::{Embedded, Inner, read_blocking};
use super::database_file::open_database;
use super::disk_space::DiskSpace;
use super::errors::store_error;
use super::meta::{put_header, read_header, read_number};
use super::tables::{self, META};
use super::writer::Writer;
use super::{account_counts, migrations};
use crate::error::{Result, StoreErrorKind};
use crate::format::{self, Format};
use crate::ops::ReplayStats;
use crate::options::StoreOptions;
use crate::store_header::{self, StoreHeader};

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

    pub(crate) async fn raise_format(&self, header: StoreHeader) -> Result<bool> {
        let Some(stored) = self.open().await? else { return Ok(false) };
        self.perform(move |transaction| {
            let mut meta = transaction.open_table(META).map_err(store_error)?;
            if read_number(&meta, "format")? >= u64::from(header.format) {
                return Ok(true);
            }
            let is_same = holds_envelope(&meta, stored.format, &header.envelope)?;
            if is_same {
                put_header(&mut meta, &header)?;
            }
            Ok(is_same)
        })
        .await
    }

    pub(crate) async fn swap_envelope(&self, read: Vec<u8>, new: Vec<u8>) -> Result<bool> {
        let Some(header) = self.open().await? else { return Ok(false) };
        self.perform(move |transaction| {
            let mut meta = transaction.open_table(META).map_err(store_error)?;
            let is_same = holds_envelope(&meta, header.format, &read)?;
            if is_same {
                meta.insert(store_header::envelope_field(header.format), new.as_slice()).map_err(store_error)?;
            }
            Ok(is_same)
        })
        .await
    }

    pub(crate) async fn full_reason(&self) -> Result<Option<String>> {
        match self.inner.disk_space.check_for_ordinary() {
            Err(error) if error.kind() == StoreErrorKind::Full => Ok(Some(error_chain(&error))),
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
}

/// Returns whether a store of this format holds the envelope.
fn holds_envelope(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    format: u32,
    envelope: &[u8],
) -> Result<bool> {
    let stored = meta.get(store_header::envelope_field(format)).map_err(store_error)?;
    Ok(stored.is_some_and(|stored| stored.value() == envelope))
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
    migrations::backfill_dead_letter_log(transaction)?;
    migrations::backfill_dead_letter_counts(transaction)
}

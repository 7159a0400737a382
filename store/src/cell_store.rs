//! The part of a store that one server holds: its state, its settings, rate limit allowances and trimming. The other
//! operations are in the files of what they work on.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gatepost_domain::key::ChecksumPolicy;
use gatepost_domain::partition::{Cell, Position};
use gatepost_domain::time::{Clock, Timestamp, Version};
use gatepost_domain::window::{LeaseGrant, Limit, UnusedLease};

use crate::account_resources::AccountLimits;
use crate::backend::Backend;
use crate::envelope::Envelope;
use crate::error::{Result, StoreErrorKind};
use crate::format::Format;
use crate::ops::{ReplayStats, RetentionPolicy, TrimStats};
use crate::options::{ClockSkew, Recovery, Replication, StoreOptions};
use crate::store_header::StoreHeader;
use crate::store_server::StoreServer;
use crate::usage::UsageRetention;

/// One cell of an open store: the records of its partitions, their stream, queues, rate limits and usage. Clones share
/// connections.
///
/// # Errors
///
/// Every operation can fail with [`StoreErrorKind::Unavailable`] (unreachable, or no reply within the deadline: 5 s
/// unless the method states another one), [`StoreErrorKind::WrongStore`] (another store, or none, at the address),
/// [`StoreErrorKind::Corrupt`] (a value cannot be decoded) and [`StoreErrorKind::Refused`] (the store's format is too
/// new, or Redis denies a command). Writes can also fail with [`StoreErrorKind::Full`], and confirmed writes, which
/// wait for replicas, with [`StoreErrorKind::Unconfirmed`]. A write that fails with `Unavailable` or `Unconfirmed` may
/// have been applied; each method says if retrying it is not safe. The embedded backend has no deadline for reads.
///
/// [`StoreErrorKind::Unavailable`]: crate::StoreErrorKind::Unavailable
/// [`StoreErrorKind::WrongStore`]: crate::StoreErrorKind::WrongStore
/// [`StoreErrorKind::Corrupt`]: crate::StoreErrorKind::Corrupt
/// [`StoreErrorKind::Refused`]: crate::StoreErrorKind::Refused
/// [`StoreErrorKind::Full`]: crate::StoreErrorKind::Full
/// [`StoreErrorKind::Unconfirmed`]: crate::StoreErrorKind::Unconfirmed
#[derive(Debug, Clone)]
pub struct CellStore {
    cell: Cell,
    pub(crate) backend: Backend,
    pub(crate) envelope: Arc<Envelope>,
    checksum: ChecksumPolicy,
    pub(crate) account_limits: AccountLimits,
    pub(crate) usage_retention: UsageRetention,
    pub(crate) clock: StoreClock,
    /// The store's format number, as last read.
    format: Arc<AtomicU32>,
}

/// Clock of this process, moved like that of the store.
#[derive(Clone)]
pub(crate) struct StoreClock {
    clock: Arc<dyn Clock>,
    skew: ClockSkew,
}

impl StoreClock {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.clock.now().as_ms().saturating_add_signed(self.skew.ms()))
    }
}

impl fmt::Debug for StoreClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreClock")
    }
}

/// Kind of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// In this process, on disk or in memory.
    Embedded,
    /// On a Redis or a server like it.
    Redis,
}

impl CellStore {
    pub(crate) fn new(
        cell: Cell,
        backend: Backend,
        header: &StoreHeader,
        envelope: Arc<Envelope>,
        options: &StoreOptions,
    ) -> Self {
        Self {
            cell,
            backend,
            envelope,
            checksum: header.checksum,
            account_limits: options.account_limits,
            usage_retention: options.usage_retention,
            clock: StoreClock { clock: Arc::clone(&options.clock), skew: options.clock_skew.clone() },
            format: Arc::new(AtomicU32::new(header.format)),
        }
    }

    /// Returns which cell of the store this is.
    pub fn cell(&self) -> Cell {
        self.cell
    }

    /// Returns the envelope of the store, which all cells share.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    pub(crate) fn position(&self, version: Version) -> Position {
        Position { cell: self.cell, version }
    }

    /// Returns the format in which this process writes.
    pub fn format(&self) -> Format {
        Format::writable(self.format.load(Ordering::Relaxed))
    }

    /// Reads the store's format, which another process may have raised.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn read_format(&self) -> Result<Format> {
        self.observe_format(self.read_header().await?.format);
        Ok(self.format())
    }

    /// Reads the header of the store, which existed when it was opened.
    pub(crate) async fn read_header(&self) -> Result<StoreHeader> {
        let header = self.backend.open().await?;
        header.ok_or_else(|| StoreErrorKind::WrongStore.with("the address no longer serves a store"))
    }

    /// Records the number of a later format.
    pub(crate) fn observe_format(&self, number: u32) {
        self.format.fetch_max(number, Ordering::Relaxed);
    }

    /// Returns whether a value in Gatepost's key format needed a correct checksum when the store was opened. Heartbeats
    /// report the current policy.
    pub fn checksum_at_open(&self) -> ChecksumPolicy {
        self.checksum
    }

    /// Returns what kind of store this is.
    pub fn kind(&self) -> StoreKind {
        match &self.backend {
            Backend::Embedded(_) => StoreKind::Embedded,
            Backend::Redis(_) => StoreKind::Redis,
        }
    }

    /// Returns the server that holds the store, as it reported itself when it was connected to last; none while that is
    /// not known.
    pub fn server(&self) -> Option<StoreServer> {
        match &self.backend {
            Backend::Embedded(_) => Some(StoreServer::embedded()),
            Backend::Redis(redis) => redis.server(),
        }
    }

    /// Returns whether reads can be stale. A gateway that is not live must not rely on them in that case.
    pub fn replication(&self) -> Replication {
        match &self.backend {
            Backend::Embedded(_) => Replication::Single,
            Backend::Redis(redis) => redis.replication(),
        }
    }

    /// Returns whether a "not found" that this store has just returned is reliable.
    pub fn recovery(&self) -> Recovery {
        match &self.backend {
            Backend::Embedded(_) => Recovery::Complete,
            Backend::Redis(redis) => redis.recovery(),
        }
    }

    /// Returns warnings for the operator about settings that are allowed but unwise, one sentence each.
    ///
    /// # Errors
    ///
    /// None at present: the settings are read when the store is opened.
    pub async fn warnings(&self) -> Result<Vec<String>> {
        let mut warnings = self.backend.warnings().await?;
        warnings.extend(self.envelope.warning());
        Ok(warnings)
    }

    /// Copies a consistent snapshot of an embedded store into a new file and returns the file's size in bytes. The
    /// master key is not part of it. No deadline.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Refused`] if the file exists or cannot be created, and for a store on Redis; otherwise those of a
    /// read, see [`CellStore`].
    pub async fn backup(&self, file: &Path) -> Result<u64> {
        self.backend.backup(file.to_path_buf()).await
    }

    /// Returns why ordinary writes are refused at the moment, as a sentence about memory or disk; `None` if they are
    /// accepted.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn full_reason(&self) -> Result<Option<String>> {
        self.backend.full_reason().await
    }

    /// Returns how many acknowledged changes this process replayed, or failed to replay, after failovers of Redis.
    ///
    /// # Errors
    ///
    /// None at present: the counters are kept in memory.
    pub async fn replay_stats(&self) -> Result<ReplayStats> {
        self.backend.replay_stats().await
    }

    /// Leases up to `requested` requests of a limit to one gateway. Deadline on Redis: 500 ms. If the reply is lost,
    /// the leased requests are unusable until the window ends.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`]; on Redis never `WrongStore`, because rate limits do not compare the store id.
    pub async fn lease_allowance(&self, name: &str, limit: Limit, requested: u64) -> Result<LeaseGrant> {
        self.backend.lease_allowance(name.to_owned(), limit, requested).await
    }

    /// Returns unused requests of a lease. Does nothing if the window has ended. Deadline on Redis: 500 ms.
    ///
    /// # Errors
    ///
    /// Those of [`CellStore::lease_allowance`]. Do not retry: the same requests would be returned twice.
    pub async fn return_allowance(&self, name: &str, unused: UnusedLease) -> Result<()> {
        self.backend.return_allowance(name.to_owned(), unused).await
    }

    /// Removes expired data, never stream entries past the fan-out cursor. Each call removes at most `rule.batch` of
    /// each kind.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn trim(&self, rule: RetentionPolicy) -> Result<TrimStats> {
        self.backend.trim(rule).await
    }
}

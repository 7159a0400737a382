//! The database and the ways to read and write it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost_domain::id::GatewayId;
use gatepost_domain::time::{Clock, Timestamp, Version};
use gatepost_runtime::{Panicked, Task};
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use tokio::sync::watch;

use super::disk_space::DiskSpace;
use super::errors::store_error;
use super::writer::Writer;
use crate::error::{Result, StoreErrorKind};
use crate::ops::RegisteredGateway;
use crate::options::{COMMIT_TIMEOUT, ClockSkew};

/// An embedded store. Clones share it.
#[derive(Clone)]
pub(crate) struct Embedded {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    // Dropped before the database, which the writer's last operations need.
    pub(super) writer: Writer,
    pub(super) database: Arc<Database>,
    pub(super) disk_space: DiskSpace,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) skew: ClockSkew,
    pub(super) max_entries: u64,
    pub(super) last_position: watch::Sender<Version>,
    /// Registered gateways: they run in this process, so the list need not outlive it.
    pub(super) gateways: Mutex<HashMap<GatewayId, RegisteredGateway>>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Embedded")
    }
}

impl Embedded {
    pub(super) fn read(&self) -> Result<ReadTransaction> {
        self.inner.database.begin_read().map_err(store_error)
    }

    /// Performs a write, see [`Writer::perform`], within 5 s.
    pub(super) async fn perform<T, F>(&self, op: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&WriteTransaction) -> Result<T> + Send + 'static,
    {
        self.perform_within(COMMIT_TIMEOUT, op).await
    }

    /// Performs a write within a deadline. A write that misses it may still be applied.
    pub(super) async fn perform_within<T, F>(&self, deadline: Duration, op: F) -> Result<T>
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
    pub(super) fn publish_position(&self, version: Version) {
        self.inner.last_position.send_if_modified(|last| {
            let is_new = *last < version;
            *last = (*last).max(version);
            is_new
        });
    }

    /// Returns the time of the store's clock.
    pub(super) fn now(&self) -> Timestamp {
        let ms = self.inner.clock.now().as_ms();
        Timestamp::from_ms(ms.saturating_add_signed(self.inner.skew.ms()))
    }
}

/// Runs a read that may take long on a blocking thread.
pub(super) async fn read_blocking<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let result = gatepost_runtime::run_blocking(Task::StoreRead, operation).await;
    result.unwrap_or_else(|Panicked| Err(StoreErrorKind::Unavailable.with("a store read panicked")))
}

//! Disk space check: writes are refused before the disk is full, because a database file that cannot grow fails
//! permanently.

use std::path::{Path, PathBuf};

use crate::error::{Result, StoreErrorKind};

/// Free bytes required for an ordinary change.
const MIN_FREE_FOR_ORDINARY: u64 = 32 << 20;
/// Free bytes required for revocations, first uses and the deliverer's operations.
const MIN_FREE: u64 = 8 << 20;

/// Disk of a store; `None` for a store in memory.
#[derive(Debug)]
pub(super) struct DiskSpace(Option<PathBuf>);

impl DiskSpace {
    pub(super) fn new(directory: Option<&Path>) -> Self {
        Self(directory.map(Path::to_path_buf))
    }

    pub(super) fn check_for_ordinary(&self) -> Result<()> {
        self.require_free(MIN_FREE_FOR_ORDINARY)
    }

    pub(super) fn check_for_urgent(&self) -> Result<()> {
        self.require_free(MIN_FREE)
    }

    fn require_free(&self, needed: u64) -> Result<()> {
        let Some(directory) = &self.0 else { return Ok(()) };
        let disk = rustix::fs::statvfs(directory).map_err(|error| StoreErrorKind::Unavailable.with(error))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free >= needed {
            return Ok(());
        }
        let (free, needed) = (free >> 20, needed >> 20);
        let message = format!("{free} MiB are free on the disk of {}, {needed} MiB are required", directory.display());
        Err(StoreErrorKind::Full.with(message))
    }
}

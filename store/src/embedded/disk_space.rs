//! Room on the disk: writes are refused before it is full, for a file that could not grow fails for good.

use std::path::{Path, PathBuf};

use crate::error::{Result, StoreErrorKind};

/// Bytes that must be free for an ordinary change.
const MIN_FREE_FOR_ORDINARY: u64 = 32 << 20;
/// Bytes that must be free for whatever shuts something off, first uses and the deliverer's work.
const MIN_FREE: u64 = 8 << 20;

/// The disk under a store; none for one in memory.
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
        let message = format!("{free} MiB are free on the disk of {}, {needed} MiB must be", directory.display());
        Err(StoreErrorKind::Full.with(message))
    }
}

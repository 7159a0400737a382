//! A look at a file, without reading it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What changes with the content of a file, or with the file that a symbolic link names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    inode: u64,
    size: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl FileStamp {
    /// Returns none if there is no file, as for a moment while another one takes its place.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        })
    }
}

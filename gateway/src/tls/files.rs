//! Files whose changes are noticed by asking the system for them again and again. This also notices a directory that a
//! symbolic link names from now on, as Kubernetes mounts secrets.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What changes with a file's content. None if the file is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    inode: u64,
    size: u64,
    modified_s: i64,
    modified_ns: i64,
}

/// The state of some files at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileStamps(Vec<Option<FileStamp>>);

impl FileStamps {
    pub(super) fn of<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| stamp(path)).collect())
    }
}

fn stamp(path: &Path) -> Option<FileStamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(FileStamp {
        inode: metadata.ino(),
        size: metadata.size(),
        modified_s: metadata.mtime(),
        modified_ns: metadata.mtime_nsec(),
    })
}

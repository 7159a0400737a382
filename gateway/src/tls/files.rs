//! Files whose changes are noticed by asking the system for them again and again. This also notices a directory that a
//! symbolic link names from now on, as Kubernetes mounts secrets.

use std::path::PathBuf;

use gatepost_runtime::FileStamp;

/// The state of some files at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileStamps(Vec<Option<FileStamp>>);

impl FileStamps {
    pub(super) fn of<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| FileStamp::of(path)).collect())
    }
}

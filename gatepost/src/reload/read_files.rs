//! Files that a reload reads, so that a change of them is noticed.

use std::path::PathBuf;

use gatepost_runtime::FileStamp;

/// Some files, and what they looked like at one moment; none for one that was not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReadFiles(Vec<(PathBuf, Option<FileStamp>)>);

impl ReadFiles {
    pub(super) fn look_at<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| (path.clone(), FileStamp::of(path))).collect())
    }

    /// Returns the same files as they are now, if one has changed.
    pub(super) fn changed(&self) -> Option<Self> {
        let now = Self::look_at(self.0.iter().map(|(path, _)| path));
        (now != *self).then_some(now)
    }

    pub(super) fn add(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

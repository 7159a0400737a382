//! Files that only their owner may read.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;

/// Writes a new file with mode 0600, on disk before this returns. One that is there is left alone and
/// is an error.
pub(crate) fn create(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.with_context(|| format!("cannot make the directory {}", absolute(directory)))?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("cannot make {}", absolute(path)))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.with_context(|| format!("cannot write {}", absolute(path)))?;
    sync_directory(path)
}

/// Gives a file another name, in the place of what may be there, on disk before this returns.
pub(crate) fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))?;
    sync_directory(to)
}

/// Whether a directory, which need not be there, could be written. Nothing is made.
pub(crate) fn check_writable(directory: &Path) -> anyhow::Result<()> {
    let directory = std::path::absolute(directory)?;
    let nearest = directory.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let may_write = rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    may_write
        .with_context(|| format!("{} cannot be made: {} cannot be written", directory.display(), nearest.display()))
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).map_or_else(|_| path.display().to_string(), |path| path.display().to_string())
}

/// A file's name is on disk when its directory is.
fn sync_directory(path: &Path) -> anyhow::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let opened = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
    opened.with_context(|| format!("cannot sync {}", directory.display()))
}

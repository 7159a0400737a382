//! Files that only their owner can read.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;

/// Creates a file with mode 0600, and syncs it to disk. An existing file is not changed and is an error.
pub(crate) fn create(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        created.with_context(|| format!("cannot create the directory {}", absolute(directory)))?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("cannot create {}", absolute(path)))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.with_context(|| format!("cannot write {}", absolute(path)))?;
    sync_directory(path)
}

/// Renames a file, replaces an existing one, and syncs the directory to disk.
pub(crate) fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))?;
    sync_directory(to)
}

/// Checks that a directory, which may not exist yet, can be written. Creates nothing.
pub(crate) fn check_writable(directory: &Path) -> anyhow::Result<()> {
    let directory = std::path::absolute(directory)?;
    let nearest = directory.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let may_write = rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    may_write.with_context(|| format!("cannot create {}: {} is not writable", directory.display(), nearest.display()))
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).map_or_else(|_| path.display().to_string(), |path| path.display().to_string())
}

/// Syncs the directory of a file, which makes its name durable.
fn sync_directory(path: &Path) -> anyhow::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let opened = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
    opened.with_context(|| format!("cannot sync {}", directory.display()))
}

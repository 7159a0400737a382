//! Files that only their owner can read.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, ensure};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Maximum size of a file that is read, in bytes.
const MAX_READ_BYTES: u64 = 4096;

/// Creates a file with mode 0600, and syncs it to disk. An existing file is not changed and is an error.
pub(crate) fn create(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        create_directory(directory)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("cannot create {}", absolute(path)))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.with_context(|| format!("cannot write {}", absolute(path)))?;
    sync_directory(path)
}

/// Creates a directory with mode 0700, and those above it. Existing ones are not changed.
pub(crate) fn create_directory(directory: &Path) -> anyhow::Result<()> {
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    created.with_context(|| format!("cannot create the directory {}", absolute(directory)))
}

/// Writes a file with mode 0600 in place of an existing one, so that a reader sees one of the two. Does not sync it.
pub(crate) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let replaced = tempfile::NamedTempFile::new_in(directory).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|error| error.error)
    });
    replaced.map(drop).with_context(|| format!("cannot write {}", absolute(path)))
}

/// Reads a file that belongs to this user and has mode 0600. Returns `None` if it does not exist.
///
/// # Errors
///
/// If it belongs to somebody else, may be read by others, is a link or no file at all, or is longer than 4 KiB.
pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Zeroizing<String>>> {
    // Neither follows a link to another file of this user, nor waits for the writer of a pipe.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot open {}", absolute(path)))?,
    };
    let metadata = file.metadata().with_context(|| format!("cannot open {}", absolute(path)))?;
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    ensure!(metadata.is_file() && is_own, "{} is not a file of this user", absolute(path));
    ensure!(metadata.mode() & 0o777 == 0o600, "{} may be read by others: set its mode to 0600", absolute(path));
    ensure!(metadata.len() <= MAX_READ_BYTES, "{} is longer than {MAX_READ_BYTES} bytes", absolute(path));
    let mut text = Zeroizing::new(String::new());
    let read = file.take(MAX_READ_BYTES).read_to_string(&mut text);
    read.with_context(|| format!("cannot read {}", absolute(path)))?;
    Ok(Some(text))
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
pub(crate) fn sync_directory(path: &Path) -> anyhow::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let opened = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
    opened.with_context(|| format!("cannot sync {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn error(path: &Path) -> String {
        read(path).unwrap_err().to_string()
    }

    #[test]
    fn only_a_private_file_of_this_user_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        assert!(read(&file).unwrap().is_none());
        create(&file, "text").unwrap();
        assert_eq!(*read(&file).unwrap().unwrap(), "text");
        replace(&file, "other").unwrap();
        assert_eq!(*read(&file).unwrap().unwrap(), "other");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(error(&link).starts_with("cannot open"));
        assert!(error(directory.path()).ends_with("is not a file of this user"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(error(&file).ends_with("may be read by others: set its mode to 0600"));
    }
}

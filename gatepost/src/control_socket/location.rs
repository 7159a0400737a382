//! Where a control socket is, how it is bound, and how it is reached.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Name of the socket in the directory of a store.
const STORE_SOCKET_FILE_NAME: &str = "control.sock";
/// Maximum path length of a socket in bytes: a socket address holds 108, including the terminating zero.
const MAX_PATH_BYTES: usize = 107;

/// Path of a control socket.
#[derive(Debug)]
pub(crate) struct SocketLocation {
    directory: PathBuf,
    file_name: OsString,
}

/// Path of the socket, through the open directory's descriptor if it is longer than a socket address can be.
struct ShortPath {
    path: PathBuf,
    _directory: File,
}

impl SocketLocation {
    /// Returns the socket of the process that holds the embedded store in a directory.
    pub(crate) fn of_store(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), file_name: STORE_SOCKET_FILE_NAME.into() }
    }

    /// Returns the socket at a path.
    pub(crate) fn at(path: &Path) -> Self {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self { directory: directory.to_owned(), file_name: path.file_name().unwrap_or_default().to_owned() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(&self.file_name)
    }

    /// Connects to the process that listens there.
    ///
    /// # Errors
    /// If there is none.
    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        let short = self.short()?;
        UnixStream::connect(&short.path).await
    }

    /// Listens for the owner only, in place of a socket that a killed process has left behind.
    ///
    /// # Errors
    /// If another process listens there, or the file is none of a socket or cannot be created.
    pub(super) fn bind(&self) -> io::Result<UnixListener> {
        self.check_free()?;
        // Until it has its permissions, it is in a directory that other users cannot enter.
        let private = tempfile::Builder::new().prefix(".gatepost-").tempdir_in(&self.directory)?;
        let new = Self { directory: private.path().to_owned(), file_name: self.file_name.clone() };
        let listener = UnixListener::bind(&new.short()?.path)?;
        std::fs::set_permissions(new.path(), Permissions::from_mode(0o600))?;
        std::fs::rename(new.path(), self.path())?;
        Ok(listener)
    }

    fn check_free(&self) -> io::Result<()> {
        let Ok(metadata) = std::fs::symlink_metadata(self.path()) else { return Ok(()) };
        if !metadata.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file is not a socket"));
        }
        match std::os::unix::net::UnixStream::connect(&self.short()?.path) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
            Err(_) => Ok(()),
        }
    }

    fn short(&self) -> io::Result<ShortPath> {
        let (opened, path) = (File::open(&self.directory)?, self.path());
        let is_long = path.as_os_str().len() > MAX_PATH_BYTES;
        let through_descriptor = || Path::new("/proc/self/fd").join(opened.as_raw_fd().to_string());
        let path = if is_long { through_descriptor().join(&self.file_name) } else { path };
        Ok(ShortPath { path, _directory: opened })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_for_its_owner_and_replaces_only_one_that_nobody_uses() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.sock");
        let location = SocketLocation::at(&path);
        let listener = location.bind().unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
        location.connect().await.unwrap();
        assert_eq!(location.bind().unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        location.bind().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        assert_eq!(SocketLocation::at(&file).bind().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
}

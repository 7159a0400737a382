//! Certificates, keys and authorities are taken over when their files change: together, or not at all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gatepost_runtime::{Task, run_blocking, supervise};
use tokio::task::JoinHandle;

use super::files::FileStamps;

/// Time between two looks at the files.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A listener or an upstream, whose TLS is read from files. Its functions block.
pub(crate) trait FilesUser: Send + Sync + 'static {
    /// Returns the files as they are now.
    fn stamps(&self) -> FileStamps;

    /// Returns the files as they were before they were read.
    fn stamps_in_use(&self) -> FileStamps;

    /// Reads all files again. A fault changes nothing.
    ///
    /// # Errors
    /// Why the files cannot be used.
    fn take_over(&self) -> Result<(), FilesFault>;

    /// Reports why the files are not in use; none if they are.
    fn report(&self, fault: Option<FilesFault>);
}

/// Why files cannot be used.
#[derive(Debug, Clone)]
pub(crate) struct FilesFault(String);

impl FilesFault {
    pub(super) fn new(errors: impl Iterator<Item = String>) -> Self {
        Self(errors.collect::<Vec<_>>().join("; "))
    }
}

impl fmt::Display for FilesFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Files that cannot be used. They may be in the middle of a change, so they are reported at the second look.
#[derive(Debug)]
struct FaultyFiles {
    stamps: FileStamps,
    is_reported: bool,
}

/// Takes over the files of a user as they change, until the task is aborted.
pub(crate) fn start_refreshing(user: impl FilesUser) -> JoinHandle<()> {
    let user = Arc::new(user);
    supervise(Task::CertificateRefresh, move || run(Arc::clone(&user)))
}

async fn run(user: Arc<impl FilesUser>) {
    let mut faulty = None;
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let user = Arc::clone(&user);
        let looking = run_blocking(Task::CertificateRefresh, move || look(user.as_ref(), faulty));
        // After a panic, which was counted and logged, the files are read again.
        faulty = looking.await.unwrap_or_default();
    }
}

/// Looks at the files once. Returns them if they cannot be used.
fn look(user: &impl FilesUser, faulty: Option<FaultyFiles>) -> Option<FaultyFiles> {
    let stamps = user.stamps();
    let is_seen = faulty.as_ref().is_some_and(|faulty| faulty.stamps == stamps);
    if is_seen && faulty.as_ref().is_some_and(|faulty| faulty.is_reported) {
        return faulty;
    }
    if user.stamps_in_use() != stamps
        && let Err(fault) = user.take_over()
    {
        if is_seen {
            user.report(Some(fault));
        }
        return Some(FaultyFiles { stamps, is_reported: is_seen });
    }
    user.report(None);
    None
}

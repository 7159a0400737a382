//! The configuration's file is looked at again and again, which also notices a directory that a symbolic link names
//! from now on, as Kubernetes mounts files, and a file that is gone.

use std::sync::Arc;
use std::time::Duration;

use gatepost_runtime::{Task, supervise};

use crate::reload::Reloader;

/// Time between two looks at the file. A change is taken over when two looks have seen the same.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Number of looks until a configuration that waits for an address is tried again.
const POLLS_BEFORE_RETRY: u32 = 10;

/// Reloads the configuration whenever its file has changed, until the process ends.
pub(crate) fn start(reloader: &Arc<Reloader>) {
    let reloader = Arc::clone(reloader);
    drop(supervise(Task::ConfigWatch, move || watch(Arc::clone(&reloader))));
}

async fn watch(reloader: Arc<Reloader>) {
    let (mut last, mut polls) = (None, 0);
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let changed = reloader.changed_files();
        polls += 1;
        if changed.is_some() && changed == last || reloader.waits_for_address() && polls >= POLLS_BEFORE_RETRY {
            // The result was logged and reported.
            let _ = reloader.reload().await;
            polls = 0;
        }
        last = changed;
    }
}

//! Names of servers are resolved again: regularly, and soon after a server could not be connected to.

use std::sync::{Arc, Weak};
use std::time::Duration;

use gatepost_runtime::{Task, supervise};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::names::Names;

/// Time between two attempts while a name does not resolve, and at least between any two.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Resolves names again and again, until they are dropped. Addresses need no resolving.
pub(super) fn start(names: &Arc<Names>, every: Duration) {
    if names.are_addresses() {
        return;
    }
    let (weak, early) = (Arc::downgrade(names), names.early());
    drop(supervise(Task::UpstreamResolver, move || run(weak.clone(), Arc::clone(&early), every)));
}

async fn run(names: Weak<Names>, early: Arc<Notify>, every: Duration) {
    while let Some(current) = names.upgrade() {
        let until_next = if current.errors().is_empty() { every } else { every.min(RETRY_INTERVAL) };
        drop(current);
        sleep(until_next.min(RETRY_INTERVAL)).await;
        tokio::select! {
            () = sleep(until_next.saturating_sub(RETRY_INTERVAL)) => {}
            () = early.notified() => {}
        }
        if let Some(current) = names.upgrade() {
            current.resolve().await;
        }
    }
}

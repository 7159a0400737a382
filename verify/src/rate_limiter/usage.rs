//! Uses on their way to the store: counted here, added there at least every second. A crash loses what was not.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_runtime::{Task, spawn_on, supervise};
use tokio::task::JoinSet;

use super::registry::Uses;
use super::{Inner, RateLimiter};

/// How often.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// Projects whose uses are added at a time.
const MAX_CONCURRENT_FLUSHES: usize = 16;

/// Adds uses to the store's until the last owner of the meters has dropped them.
pub(super) fn start(rate_limiter: &RateLimiter) {
    let inner = Arc::downgrade(&rate_limiter.0);
    supervise(Task::UsageSweep, move || flush_until_dropped(Weak::clone(&inner)));
}

async fn flush_until_dropped(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(FLUSH_INTERVAL).await;
        let Some(inner) = inner.upgrade() else { return };
        flush(&inner).await;
    }
}

/// Uses that are put back when they are dropped, unless they were added.
struct UnflushedUses {
    inner: Arc<Inner>,
    uses: Vec<Uses>,
}

impl Drop for UnflushedUses {
    fn drop(&mut self) {
        self.uses.iter().for_each(|uses| self.inner.registry.restore(uses));
    }
}

/// Adds all that was counted so far. What the store does not take waits for the next time.
pub(super) async fn flush(inner: &Arc<Inner>) {
    let mut by_project: HashMap<ProjectId, UnflushedUses> = HashMap::new();
    for uses in inner.registry.drain() {
        let of_project = by_project.entry(uses.meter.project().clone());
        of_project.or_insert_with(|| UnflushedUses { inner: Arc::clone(inner), uses: Vec::new() }).uses.push(uses);
    }
    let mut flushes = JoinSet::new();
    for (project, uses) in by_project {
        if flushes.len() >= MAX_CONCURRENT_FLUSHES {
            flushes.join_next().await;
        }
        spawn_on(&mut flushes, Task::UsageFlush, flush_project(Arc::clone(inner), project, uses));
    }
    flushes.join_all().await;
}

async fn flush_project(inner: Arc<Inner>, project: ProjectId, mut unflushed: UnflushedUses) {
    let usage: Vec<(KeyId, u64)> = unflushed.uses.iter().map(|uses| (uses.meter.key().clone(), uses.count)).collect();
    match inner.store.add_usage(&project, &usage).await {
        Ok(()) => unflushed.uses.clear(),
        Err(error) => tracing::debug!(%error, "uses wait for the store"),
    }
}

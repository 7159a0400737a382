//! Flushing of usage to the store: uses are counted here and added to the store every 500 ms. A crash loses
//! what is not flushed.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_runtime::{Task, error_chain, spawn_on, supervise};
use tokio::task::JoinSet;

use crate::limiter::{Inner, RateLimiter};
use crate::registry::Uses;

/// Time between two flushes.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// Maximum number of projects flushed concurrently.
const MAX_CONCURRENT_FLUSHES: usize = 16;

/// Starts the flushes, which run until the last owner of the rate limiter has dropped it.
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

/// Drained uses. When dropped, those not flushed are restored to their meters.
struct UnflushedUses {
    inner: Arc<Inner>,
    uses: Vec<Uses>,
}

impl Drop for UnflushedUses {
    fn drop(&mut self) {
        self.uses.iter().for_each(|uses| self.inner.registry.restore(uses));
    }
}

/// Flushes all uses counted so far. A failed flush is retried with the next one.
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
        Err(error) => tracing::debug!(error = %error_chain(&error), "flushing usage failed, retrying in 500 ms"),
    }
}

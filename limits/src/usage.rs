//! Flushing of usage to the store: uses are counted here and added to the store every 500 ms. A crash loses
//! what is not flushed.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::partition::PartitionGroup;
use gatepost_runtime::{Task, error_chain, spawn_on, supervise};
use gatepost_store::MAX_KEYS_TOGETHER;
use tokio::task::JoinSet;

use crate::limiter::{Inner, RateLimiter};
use crate::registry::Uses;

/// Time between two flushes.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// Maximum number of concurrent flushes.
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
    let mut flushes = JoinSet::new();
    for (project, uses) in in_acts(inner, inner.registry.drain()) {
        if flushes.len() >= MAX_CONCURRENT_FLUSHES {
            flushes.join_next().await;
        }
        spawn_on(&mut flushes, Task::UsageFlush, flush_act(Arc::clone(inner), project, uses));
    }
    flushes.join_all().await;
}

/// Divides uses into those that the store adds in one act: if some could be added and others not, all would be restored,
/// and some counted twice.
fn in_acts(inner: &Arc<Inner>, uses: Vec<Uses>) -> Vec<(ProjectId, UnflushedUses)> {
    let mut acts: HashMap<(ProjectId, PartitionGroup), Vec<UnflushedUses>> = HashMap::new();
    for uses in uses {
        let group = uses.meter.key().partition().group();
        let of_group = acts.entry((uses.meter.project().clone(), group)).or_default();
        match of_group.last_mut().filter(|act| act.uses.len() < MAX_KEYS_TOGETHER) {
            Some(act) => act.uses.push(uses),
            None => of_group.push(UnflushedUses { inner: Arc::clone(inner), uses: vec![uses] }),
        }
    }
    acts.into_iter().flat_map(|((project, _), acts)| acts.into_iter().map(move |act| (project.clone(), act))).collect()
}

async fn flush_act(inner: Arc<Inner>, project: ProjectId, mut unflushed: UnflushedUses) {
    let usage: Vec<(KeyId, u64)> = unflushed.uses.iter().map(|uses| (uses.meter.key().clone(), uses.count)).collect();
    match inner.store.add_usage(&project, &usage).await {
        Ok(()) => unflushed.uses.clear(),
        Err(error) => tracing::debug!(error = %error_chain(&error), "flushing usage failed, retrying in 500 ms"),
    }
}

//! Uses on their way to the store: counted here, added there at least every second. A crash loses what was not.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_runtime::{Task, spawn_on, supervise};
use tokio::task::JoinSet;

use super::registry::Uses;
use super::{Meters, Shared};

/// How often.
const EVERY: Duration = Duration::from_millis(500);
/// Projects whose uses are added at a time.
const AT_A_TIME: usize = 16;

/// Adds uses to the store's until the last owner of the meters has dropped them.
pub(super) fn start(meters: &Meters) {
    let shared = Arc::downgrade(&meters.0);
    supervise(Task::UsageSweep, move || add_until_dropped(Weak::clone(&shared)));
}

async fn add_until_dropped(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        add(&shared).await;
    }
}

/// Uses that are put back when they are dropped, unless they were added.
struct Unadded {
    shared: Arc<Shared>,
    uses: Vec<Uses>,
}

impl Drop for Unadded {
    fn drop(&mut self) {
        self.uses.iter().for_each(|uses| self.shared.registry.put_back(uses));
    }
}

/// Adds all that was counted so far. What the store does not take waits for the next time.
pub(super) async fn add(shared: &Arc<Shared>) {
    let mut by_project: HashMap<ProjectId, Unadded> = HashMap::new();
    for uses in shared.registry.take() {
        let of_project = by_project.entry(uses.meter.project().clone());
        of_project.or_insert_with(|| Unadded { shared: Arc::clone(shared), uses: Vec::new() }).uses.push(uses);
    }
    let mut adding = JoinSet::new();
    for (project, uses) in by_project {
        if adding.len() >= AT_A_TIME {
            adding.join_next().await;
        }
        spawn_on(&mut adding, Task::UsageFlush, add_to(Arc::clone(shared), project, uses));
    }
    adding.join_all().await;
}

async fn add_to(shared: Arc<Shared>, project: ProjectId, mut unadded: Unadded) {
    let usage: Vec<(KeyId, u64)> = unadded.uses.iter().map(|uses| (uses.meter.key().clone(), uses.count)).collect();
    match shared.store.add_usage(&project, &usage).await {
        Ok(()) => unadded.uses.clear(),
        Err(error) => tracing::debug!(%error, "uses wait for the store"),
    }
}

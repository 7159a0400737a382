//! Uses on their way to the store: counted here, added there at least every second. A crash loses what was not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::id::{KeyId, ProjectId};
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
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            let Some(shared) = shared.upgrade() else { return };
            add(&shared).await;
        }
    });
}

/// Adds all that was counted so far. What the store does not take waits for the next time.
pub(super) async fn add(shared: &Arc<Shared>) {
    let mut by_project: HashMap<ProjectId, Vec<Uses>> = HashMap::new();
    for uses in shared.registry.take() {
        by_project.entry(uses.meter.project().clone()).or_default().push(uses);
    }
    let mut adding = JoinSet::new();
    for (project, uses) in by_project {
        if adding.len() >= AT_A_TIME {
            adding.join_next().await;
        }
        adding.spawn(add_to(Arc::clone(shared), project, uses));
    }
    adding.join_all().await;
}

async fn add_to(shared: Arc<Shared>, project: ProjectId, uses: Vec<Uses>) {
    let usage: Vec<(KeyId, u64)> = uses.iter().map(|uses| (uses.meter.key().clone(), uses.count)).collect();
    if let Err(error) = shared.store.add_usage(&project, &usage).await {
        tracing::debug!(%error, "uses wait for the store");
        uses.iter().for_each(|uses| shared.registry.put_back(uses));
    }
}

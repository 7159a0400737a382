//! Giving back what lies unused, so that what an idle process holds does not starve the others.

use std::sync::{Arc, Weak};
use std::time::Duration;

use gatepost_domain::slice::Holds;
use gatepost_runtime::{Task, spawn_on, supervise};
use tokio::task::JoinSet;

use super::gauge::Return;
use super::{Meters, Shared};

/// How often.
const EVERY: Duration = Duration::from_millis(100);
/// Slices that are given back at a time.
const AT_A_TIME: usize = 64;

/// Gives back until the last owner of the meters has dropped them.
pub(super) fn start(meters: &Meters) {
    let shared = Arc::downgrade(&meters.0);
    supervise(Task::LeaseSweep, move || sweep_until_dropped(Weak::clone(&shared)));
}

async fn sweep_until_dropped(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        sweep(&Meters(shared)).await;
    }
}

async fn sweep(meters: &Meters) {
    let now = meters.0.clock.uptime();
    let mut back = Vec::new();
    let listed = std::mem::take(&mut *meters.holding());
    let kept: Vec<_> = listed
        .into_iter()
        .filter(|meter| {
            let mut gauges = meter.lock();
            back.extend(gauges.take_idle(meter.key(), now));
            gauges.holds(now) == Holds::Something
        })
        .collect();
    meters.holding().extend(kept);
    give_back(&meters.0, back).await;
}

/// Gives back all that is held.
pub(super) async fn give_all_back(meters: &Meters) {
    let now = meters.0.clock.uptime();
    let listed = std::mem::take(&mut *meters.holding());
    let back = listed.into_iter().flat_map(|meter| meter.lock().take_all(meter.key(), now)).collect();
    give_back(&meters.0, back).await;
}

/// What cannot be given back is lost to its window: nobody passes with it.
pub(super) async fn give_back(shared: &Arc<Shared>, slices: Vec<Return>) {
    let mut giving = JoinSet::new();
    for (meter, unused) in slices {
        if giving.len() >= AT_A_TIME {
            giving.join_next().await;
        }
        let shared = Arc::clone(shared);
        spawn_on(&mut giving, Task::LimitReturn, async move {
            if let Err(error) = shared.store.return_allowance(&meter, unused).await {
                tracing::debug!(%error, "a slice could not be given back");
            }
        });
    }
    giving.join_all().await;
}

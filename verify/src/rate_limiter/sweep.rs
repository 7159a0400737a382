//! Giving back what lies unused, so that what an idle process holds does not starve the others.

use std::sync::{Arc, Weak};
use std::time::Duration;

use gatepost_domain::token_lease::Holds;
use gatepost_runtime::{Task, spawn_on, supervise};
use tokio::task::JoinSet;

use super::limit_state::NamedUnusedLease;
use super::{Inner, RateLimiter};

/// How often.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// Slices that are given back at a time.
const MAX_CONCURRENT_RETURNS: usize = 64;

/// Gives back until the last owner of the meters has dropped them.
pub(super) fn start(rate_limiter: &RateLimiter) {
    let inner = Arc::downgrade(&rate_limiter.0);
    supervise(Task::LeaseSweep, move || sweep_until_dropped(Weak::clone(&inner)));
}

async fn sweep_until_dropped(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(inner) = inner.upgrade() else { return };
        sweep(&RateLimiter(inner)).await;
    }
}

async fn sweep(rate_limiter: &RateLimiter) {
    let now = rate_limiter.0.clock.uptime();
    let mut unused = Vec::new();
    let meters = std::mem::take(&mut *rate_limiter.lock_meters_with_leases());
    let still_holding: Vec<_> = meters
        .into_iter()
        .filter(|meter| {
            let mut states = meter.lock();
            unused.extend(states.take_idle(meter.key(), now));
            states.holds(now) == Holds::Something
        })
        .collect();
    rate_limiter.lock_meters_with_leases().extend(still_holding);
    return_leases(&rate_limiter.0, unused).await;
}

/// Gives back all that is held.
pub(super) async fn return_all(rate_limiter: &RateLimiter) {
    let now = rate_limiter.0.clock.uptime();
    let meters = std::mem::take(&mut *rate_limiter.lock_meters_with_leases());
    let unused = meters.into_iter().flat_map(|meter| meter.lock().take_all(meter.key(), now)).collect();
    return_leases(&rate_limiter.0, unused).await;
}

/// What cannot be given back is lost to its window: nobody passes with it.
pub(super) async fn return_leases(inner: &Arc<Inner>, unused: Vec<NamedUnusedLease>) {
    let mut returning = JoinSet::new();
    for (meter_name, amount) in unused {
        if returning.len() >= MAX_CONCURRENT_RETURNS {
            returning.join_next().await;
        }
        let inner = Arc::clone(inner);
        spawn_on(&mut returning, Task::LimitReturn, async move {
            if let Err(error) = inner.store.return_allowance(&meter_name, amount).await {
                tracing::debug!(%error, "a slice could not be given back");
            }
        });
    }
    returning.join_all().await;
}

//! Return of idle tokens, so that an idle process does not starve the others.

use std::sync::{Arc, Weak};
use std::time::Duration;

use gatepost_runtime::{Task, supervise};

use crate::limiter::{Inner, RateLimiter};
use crate::returns::return_leases;

/// Time between two sweeps.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// Starts the sweep, which runs until the last owner of the rate limiter has dropped it.
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
            states.has_leases(now)
        })
        .collect();
    rate_limiter.lock_meters_with_leases().extend(still_holding);
    return_leases(&rate_limiter.0.store, unused).await;
}

/// Returns all tokens.
pub(super) async fn return_all(rate_limiter: &RateLimiter) {
    let now = rate_limiter.0.clock.uptime();
    let meters = std::mem::take(&mut *rate_limiter.lock_meters_with_leases());
    let unused = meters.into_iter().flat_map(|meter| meter.lock().take_all(meter.key(), now)).collect();
    return_leases(&rate_limiter.0.store, unused).await;
}

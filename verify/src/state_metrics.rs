//! Metrics computed at each scrape from the caches and the replicas.

use std::sync::{Arc, Weak};

use gatepost_domain::time::Clock;
use gatepost_runtime::registered;
use prometheus::{PullingGauge, Registry};

use crate::cache::Caches;
use crate::lease::Liveness;
use crate::replica::Replica;

/// Registers the metrics.
pub(crate) fn register(
    registry: &Registry,
    clock: &Arc<dyn Clock>,
    caches: &Caches,
    replicas: &[Arc<Replica>],
) -> prometheus::Result<()> {
    // Weak, so that a registry does not keep the stores open.
    let replicas: Vec<Weak<Replica>> = replicas.iter().map(Arc::downgrade).collect();
    let gauge = |name: &str, help: &str, read: Box<dyn Fn() -> f64 + Send + Sync>| {
        registered(registry, PullingGauge::new(name, help, read)).map(drop)
    };
    let (caches, claims_replicas, lag_replicas, live_replicas) =
        (caches.clone(), replicas.clone(), replicas.clone(), replicas);
    let (clock, clock_of_live) = (Arc::clone(clock), Arc::clone(clock));
    gauge("gatepost_key_cache_entries", "Number of cached keys.", Box::new(move || caches.len() as f64))?;
    gauge(
        "gatepost_first_use_pending",
        "First-use claims that wait for a retry because the store did not respond.",
        Box::new(move || upgraded(&claims_replicas).map(|replica| replica.pending_claims.len() as f64).sum()),
    )?;
    gauge(
        "gatepost_feed_lag_seconds",
        "Seconds since this process was last known to have applied all changes.",
        Box::new(move || {
            let now = clock.uptime();
            upgraded(&lag_replicas).map(|replica| replica.lease.age(now).as_secs_f64()).fold(0.0, f64::max)
        }),
    )?;
    gauge(
        "gatepost_live",
        "1 while the gateway is live and trusts its cache, otherwise 0.",
        Box::new(move || {
            let now = clock_of_live.uptime();
            let liveness = |replica: &Weak<Replica>| replica.upgrade().map(|replica| replica.liveness(now));
            f64::from(u8::from(live_replicas.iter().all(|replica| liveness(replica) == Some(Liveness::Live))))
        }),
    )
}

fn upgraded(replicas: &[Weak<Replica>]) -> impl Iterator<Item = Arc<Replica>> {
    replicas.iter().filter_map(Weak::upgrade)
}

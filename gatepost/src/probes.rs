//! What a process asks of its parts again and again, for `/readyz` and `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use gatepost_ops::Readiness;
use gatepost_store::Store;
use gatepost_store::act::Repeats;
use gatepost_verify::{Liveness, Verifier};
use prometheus::{IntCounter, Registry};

/// How often.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// What became of acknowledged changes that a new master of Redis had lost.
pub(crate) struct RepeatMetrics {
    repeated: IntCounter,
    conflicts: IntCounter,
}

impl RepeatMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            repeated: IntCounter::new(
                "gatepost_changes_repeated_total",
                "Acknowledged changes that the store had lost and this process wrote again.",
            )?,
            conflicts: IntCounter::new(
                "gatepost_changes_lost_total",
                "Acknowledged changes that the store had lost and that others came before.",
            )?,
        };
        registry.register(Box::new(metrics.repeated.clone()))?;
        registry.register(Box::new(metrics.conflicts.clone()))?;
        Ok(metrics)
    }

    fn set(&self, repeats: Repeats) {
        self.repeated.inc_by(repeats.repeated.saturating_sub(self.repeated.get()));
        self.conflicts.inc_by(repeats.conflicts.saturating_sub(self.conflicts.get()));
    }
}

/// Asks the store whether it is there.
pub(crate) async fn store(store: Store, readiness: Readiness, metrics: RepeatMetrics) {
    loop {
        let state = store.last_position().await;
        readiness.set("store", state.map(drop).map_err(|error| error.kind().as_str().to_owned()));
        metrics.set(store.repeats().await.unwrap_or_default());
        tokio::time::sleep(PROBE_EVERY).await;
    }
}

/// Asks the gateway's cache whether it may still be used.
pub(crate) async fn cache(verifier: Arc<Verifier>, readiness: Readiness) {
    loop {
        let state = match verifier.liveness() {
            Liveness::Live | Liveness::Stale => Ok(()),
            Liveness::Expired => Err("older than max_stale".to_owned()),
        };
        readiness.set("cache", state);
        tokio::time::sleep(PROBE_EVERY).await;
    }
}

//! Housekeeping: trims what is old and measures the queues.

use std::time::Duration;

use gatepost_store::Result;
use gatepost_store::act::TrimRule;
use tokio::sync::watch;

use crate::options::{MAX_DEAD_AGE, MAX_SEALED_AGE};
use crate::shared::{Shared, pause};

/// How often.
const EVERY: Duration = Duration::from_secs(5);
/// What one call of `trim` removes of each kind at most.
const TRIM_BATCH: u32 = 1000;

/// Keeps house until the deliverer is stopped.
pub(crate) async fn run(shared: Shared) {
    let mut stopped = shared.stopped.clone();
    while !*stopped.borrow() {
        if let Err(error) = once(&shared, &stopped).await {
            tracing::warn!(%error, "housekeeping waits");
        }
        pause(&mut stopped, EVERY).await;
    }
}

async fn once(shared: &Shared, stopped: &watch::Receiver<bool>) -> Result<()> {
    let retention = shared.options.retention;
    let rule = TrimRule {
        max_age: retention.max_age,
        max_entries: retention.max_entries,
        max_sealed_age: MAX_SEALED_AGE,
        max_dead_age: MAX_DEAD_AGE,
        batch: TRIM_BATCH,
    };
    while !*stopped.borrow() {
        let trimmed = shared.store.trim(rule).await?;
        let most = u64::from(TRIM_BATCH);
        if trimmed.entries < most && trimmed.sealed < most && trimmed.dead < most {
            break;
        }
    }
    shared.metrics.take(&shared.store.queue_numbers().await?);
    Ok(())
}

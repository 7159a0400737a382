//! Housekeeping: trims old data and measures the queues.

use std::sync::Arc;
use std::time::Duration;

use gatepost_runtime::error_chain;
use gatepost_store::Result;
use gatepost_store::RetentionPolicy;
use tokio::sync::watch;

use crate::context::{DelivererContext, sleep_unless_stopped};
use crate::options::{MAX_DEAD_AGE, MAX_LOG_AGE, MAX_SEALED_AGE};

const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum number of items of each kind that one call of `trim` removes.
const TRIM_BATCH: u32 = 1000;

/// Runs housekeeping until the deliverer is stopped.
pub(crate) async fn run(context: Arc<DelivererContext>) {
    let mut stopped = context.stopped.clone();
    while !*stopped.borrow() {
        if let Err(error) = trim_and_measure(&context, &stopped).await {
            tracing::warn!(error = %error_chain(&error), "housekeeping failed, retrying in 5 s");
        }
        sleep_unless_stopped(&mut stopped, HOUSEKEEPING_INTERVAL).await;
    }
}

async fn trim_and_measure(context: &DelivererContext, stopped: &watch::Receiver<bool>) -> Result<()> {
    let retention = context.options.retention;
    let rule = RetentionPolicy {
        max_age: retention.max_age,
        max_entries: retention.max_entries,
        max_sealed_secret_age: MAX_SEALED_AGE,
        max_dead_letter_age: MAX_DEAD_AGE,
        max_log_age: MAX_LOG_AGE,
        oldest_attempt: context.sender.now().minus(MAX_LOG_AGE),
        batch: TRIM_BATCH,
    };
    while !*stopped.borrow() {
        let trimmed = context.store.trim(rule).await?;
        let batch = u64::from(TRIM_BATCH);
        if trimmed.entries < batch && trimmed.sealed_secrets < batch && trimmed.dead_letters < batch {
            break;
        }
    }
    context.metrics.set_queue_gauges(&context.store.queue_stats().await?);
    Ok(())
}

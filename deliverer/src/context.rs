//! Context shared by the tasks of a deliverer.

use std::sync::Arc;
use std::time::Duration;

use gatepost_store::CellStore;
use tokio::sync::{Notify, watch};

use crate::ack_batcher::AckBatcher;
use crate::fair_scheduler::FairScheduler;
use crate::metrics::Metrics;
use crate::options::DelivererOptions;
use gatepost_webhook_client::Sender;

/// Shared state and configuration of all tasks.
pub(crate) struct DelivererContext {
    pub(crate) store: CellStore,
    pub(crate) options: DelivererOptions,
    pub(crate) sender: Sender,
    pub(crate) ack_batcher: AckBatcher,
    pub(crate) metrics: Metrics,
    /// Wakes the dispatcher: a delivery may have become due, or a send slot that was missing is free.
    pub(crate) wake: Arc<Notify>,
    pub(crate) scheduler: FairScheduler,
    pub(crate) stopped: watch::Receiver<bool>,
}

/// Sleeps for `duration`, or until the deliverer is stopped.
pub(crate) async fn sleep_unless_stopped(stopped: &mut watch::Receiver<bool>, duration: Duration) {
    // The caller reads from `stopped` whether the deliverer was stopped.
    let _ = tokio::time::timeout(duration, stopped.wait_for(|stopped| *stopped)).await;
}

//! What the tasks of a deliverer share.

use std::sync::Arc;
use std::time::Duration;

use gatepost_store::Store;
use tokio::sync::{Notify, watch};

use crate::ack_batcher::AckBatcher;
use crate::fair_scheduler::FairScheduler;
use crate::metrics::Metrics;
use crate::options::DelivererOptions;
use crate::send::Sender;

/// What all tasks share.
#[derive(Clone)]
pub(crate) struct DelivererContext {
    pub(crate) store: Store,
    pub(crate) options: DelivererOptions,
    pub(crate) sender: Sender,
    pub(crate) ack_batcher: AckBatcher,
    pub(crate) metrics: Metrics,
    /// Wakes the work loop: something became due, or a place became free.
    pub(crate) wake: Arc<Notify>,
    pub(crate) scheduler: FairScheduler,
    pub(crate) stopped: watch::Receiver<bool>,
}

/// Waits until the deliverer is stopped, or for `span`.
pub(crate) async fn sleep_unless_stopped(stopped: &mut watch::Receiver<bool>, duration: Duration) {
    // Whether it ended by time or by the stop is seen in `stopped`.
    drop(tokio::time::timeout(duration, stopped.wait_for(|stopped| *stopped)).await);
}

//! What the tasks of a deliverer share.

use std::sync::Arc;
use std::time::Duration;

use gatepost_store::Store;
use tokio::sync::{Notify, watch};

use crate::metrics::Metrics;
use crate::options::DelivererOptions;
use crate::send::Sender;
use crate::settle::Settler;
use crate::shares::Shares;

/// What all tasks share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) options: DelivererOptions,
    pub(crate) sender: Sender,
    pub(crate) settler: Settler,
    pub(crate) metrics: Metrics,
    /// Wakes the work loop: something became due, or a place became free.
    pub(crate) wake: Arc<Notify>,
    pub(crate) shares: Shares,
    pub(crate) stopped: watch::Receiver<bool>,
}

/// Waits until the deliverer is stopped, or for `span`.
pub(crate) async fn pause(stopped: &mut watch::Receiver<bool>, span: Duration) {
    // Whether it ended by time or by the stop is seen in `stopped`.
    drop(tokio::time::timeout(span, stopped.wait_for(|stopped| *stopped)).await);
}

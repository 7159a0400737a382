//! Settling: what ends at about the same time is settled in one act of the store.

use std::sync::Arc;
use std::time::Duration;

use gatepost_runtime::{Task, spawn, supervise};
use gatepost_store::ops::{LeaseStatus, RawSettlement};
use gatepost_store::{Result, Store, StoreErrorKind};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use crate::lease::LeaseDeadline;
use crate::options::MAX_CONCURRENT_SENDS;

/// Settlements in one act.
const MAX_BATCH: usize = 64;
/// While an act goes on, what ends gathers for the next; a store that hangs holds it up no longer than this.
const BATCH_WAIT: Duration = Duration::from_millis(20);
/// How long to wait between two tries while the store does not answer.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A settlement, and who waits for it.
type PendingAck = (RawSettlement, oneshot::Sender<Result<LeaseStatus>>);

/// Settles for all workers of a process.
#[derive(Debug, Clone)]
pub(crate) struct AckBatcher(mpsc::Sender<PendingAck>);

impl AckBatcher {
    /// Starts it; it ends when no clone is left.
    pub(crate) fn start(store: Store) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_CONCURRENT_SENDS);
        let receiver = Arc::new(Mutex::new(receiver));
        supervise(Task::Settler, move || run(store.clone(), Arc::clone(&receiver)));
        Self(sender)
    }

    /// Settles, also through an outage that ends before the lease does: what is not settled is sent a second time.
    pub(crate) async fn settle_with_retry(&self, settlement: RawSettlement, deadline: &LeaseDeadline) {
        loop {
            match self.enqueue(settlement.clone()).await {
                Some(Ok(LeaseStatus::Held)) => return,
                Some(Ok(LeaseStatus::Lost)) => break,
                Some(Err(error)) => tracing::warn!(%error, event = settlement.event.as_str(), "settling waits"),
                None => return, // The process ends: the lease runs out.
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
            if deadline.instant() <= Instant::now() {
                break;
            }
        }
        tracing::warn!(event = settlement.event.as_str(), "a lease ran out before its delivery was settled");
    }

    async fn enqueue(&self, settlement: RawSettlement) -> Option<Result<LeaseStatus>> {
        let (reply_sender, reply) = oneshot::channel();
        self.0.send((settlement, reply_sender)).await.ok()?;
        let panicked = |_| Err(StoreErrorKind::Unavailable.with("what settles has ended"));
        Some(reply.await.unwrap_or_else(panicked))
    }
}

/// One run at a time: the next one finds the lock free where a panic has ended the one before.
async fn run(store: Store, receiver: Arc<Mutex<mpsc::Receiver<PendingAck>>>) {
    let mut receiver = receiver.lock().await;
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while receiver.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let settling = spawn(Task::Settlement, settle_batch(store.clone(), batch.split_off(0)));
        // It goes on if it takes longer.
        drop(tokio::time::timeout(BATCH_WAIT, settling).await);
    }
}

async fn settle_batch(store: Store, batch: Vec<PendingAck>) {
    let (settlements, reply_senders): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let held = match store.settle(settlements).await {
        Ok(held) => held.into_iter().map(Ok).collect(),
        Err(error) => {
            let kind = error.kind();
            let text = error.to_string();
            reply_senders.iter().map(|_| Err(kind.with(text.clone()))).collect::<Vec<_>>()
        }
    };
    for (reply_sender, held) in reply_senders.into_iter().zip(held) {
        // Whoever no longer waits has been cut off by a stop.
        drop(reply_sender.send(held));
    }
}

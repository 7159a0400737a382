//! Settlement of deliveries: attempts that end at about the same time are settled in one operation of the
//! store.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::poll;
use gatepost_domain::record::FailureStreak;
use gatepost_runtime::{Task, error_chain, spawn, supervise};
use gatepost_store::{CellStore, Result, StoreErrorKind};
use gatepost_store::{LeaseStatus, Settlement, SettlementOutcome};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::time::Instant;

use crate::fair_scheduler::FairScheduler;
use crate::lease::LeaseDeadline;
use crate::options::{IN_FLIGHT_CAP, MAX_CONCURRENT_SENDS};

/// Maximum number of settlements per operation.
const MAX_BATCH: usize = 64;
/// Maximum time that a settlement waits for those of deliveries that are being sent: an operation costs much the same for
/// one and for ten.
const GATHER_WAIT: Duration = Duration::from_millis(2);
/// Maximum time that a running operation delays the next batch. Attempts that end meanwhile are gathered for
/// it.
const BATCH_WAIT: Duration = Duration::from_millis(20);
/// Delay between two tries while the store does not respond.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A settlement with the sender of its reply.
type PendingAck = (Arc<Settlement>, oneshot::Sender<Result<SettlementOutcome>>);

/// Settles batches in the store.
#[derive(Clone)]
struct Settler {
    store: CellStore,
    /// Wakes the dispatcher.
    wake: Arc<Notify>,
}

/// Settles deliveries for all workers of a process. Clones share the queue.
#[derive(Debug, Clone)]
pub(crate) struct AckBatcher(mpsc::Sender<PendingAck>);

impl AckBatcher {
    /// Starts the batcher. It ends when the last clone is dropped.
    pub(crate) fn start(store: CellStore, scheduler: FairScheduler, wake: Arc<Notify>) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_CONCURRENT_SENDS);
        let receiver = Arc::new(Mutex::new(receiver));
        let settler = Settler { store, wake };
        supervise(Task::Settler, move || run(settler.clone(), scheduler.clone(), Arc::clone(&receiver)));
        Self(sender)
    }

    /// Settles a delivery, and retries while the lease lasts if the store does not respond. If that fails, the
    /// delivery is sent a second time. Returns the failures of the webhook in a row, if this was one.
    pub(crate) async fn settle_with_retry(
        &self,
        settlement: &Arc<Settlement>,
        deadline: &LeaseDeadline,
    ) -> Option<FailureStreak> {
        loop {
            match self.enqueue(Arc::clone(settlement)).await {
                Some(Ok(SettlementOutcome { lease: LeaseStatus::Held, streak })) => return streak,
                Some(Ok(SettlementOutcome { lease: LeaseStatus::Lost, .. })) => break,
                Some(Err(error)) => {
                    tracing::warn!(
                        error = %error_chain(&error),
                        event = settlement.delivery.event_id.as_str(),
                        "settling a delivery failed, retrying in 1 s"
                    )
                }
                None => return None, // The process is ending. The lease runs out and another process sends the delivery.
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
            if deadline.instant() <= Instant::now() {
                break;
            }
        }
        tracing::warn!(
            event = settlement.delivery.event_id.as_str(),
            "settling failed: the lease has ended, the delivery is sent again"
        );
        None
    }

    async fn enqueue(&self, settlement: Arc<Settlement>) -> Option<Result<SettlementOutcome>> {
        let (reply_sender, reply) = oneshot::channel();
        self.0.send((settlement, reply_sender)).await.ok()?;
        let panicked = |_| Err(StoreErrorKind::Unavailable.with("the ack batcher has stopped"));
        Some(reply.await.unwrap_or_else(panicked))
    }
}

/// Runs one batcher at a time. After a panic the restarted run waits here until the previous one has released
/// the lock.
async fn run(settler: Settler, scheduler: FairScheduler, receiver: Arc<Mutex<mpsc::Receiver<PendingAck>>>) {
    let mut receiver = receiver.lock().await;
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while receiver.recv_many(&mut batch, MAX_BATCH).await > 0 {
        gather(&mut receiver, &mut batch, &scheduler).await;
        let settling = spawn(Task::Settlement, settler.clone().settle_batch(batch.split_off(0)));
        // An operation that takes longer continues in its task.
        let _ = tokio::time::timeout(BATCH_WAIT, settling).await;
    }
}

/// Adds settlements to a batch for up to [`GATHER_WAIT`], until it is full or has a part of what is being sent: the rest
/// goes on while these make room for new deliveries.
async fn gather(receiver: &mut mpsc::Receiver<PendingAck>, batch: &mut Vec<PendingAck>, scheduler: &FairScheduler) {
    let deadline = Instant::now() + GATHER_WAIT;
    while batch.len() < gathered_part(scheduler.used_slots()) {
        let room = MAX_BATCH - batch.len();
        match tokio::time::timeout_at(deadline, receiver.recv_many(batch, room)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// Returns the size of a batch while so many deliveries are in flight. A single busy webhook is held up by its in-flight
/// cap until its deliveries are settled, so its batches are smaller.
fn gathered_part(in_flight: usize) -> usize {
    let is_one_webhook = in_flight <= IN_FLIGHT_CAP as usize;
    MAX_BATCH.min(if is_one_webhook { in_flight / 4 } else { in_flight / 2 })
}

impl Settler {
    /// Settles a batch. The dispatcher is woken as soon as the operation was sent: a lease that is sent after it reaches the
    /// store after it and finds what it makes due, and receivers do not wait for another round trip. Where a lease overtakes
    /// it, as nothing forbids on a Cluster, the next settlement or the poll of the dispatcher makes up for it.
    async fn settle_batch(self, batch: Vec<PendingAck>) {
        let (settlements, reply_senders): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let mut settling = pin!(self.store.settle(settlements));
        let sent = poll!(settling.as_mut());
        self.wake.notify_one();
        let settled = match sent {
            Poll::Ready(settled) => settled,
            Poll::Pending => settling.await,
        };
        let outcomes = match settled {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(error) => reply_senders.iter().map(|_| Err(error.clone())).collect::<Vec<_>>(),
        };
        for (reply_sender, outcome) in reply_senders.into_iter().zip(outcomes) {
            // A receiver that is gone belongs to an attempt that a stop has cancelled.
            let _ = reply_sender.send(outcome);
        }
    }
}

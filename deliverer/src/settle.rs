//! Settling: what ends at about the same time is settled in one act of the store.

use std::sync::Arc;
use std::time::Duration;

use gatepost_runtime::{Task, spawn, supervise};
use gatepost_store::act::{Held, RawSettle};
use gatepost_store::{Result, Store, StoreErrorKind};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use crate::lease::Ends;
use crate::options::MAX_SENDING;

/// Settlements in one act.
const MAX_TOGETHER: usize = 64;
/// While an act goes on, what ends gathers for the next; a store that hangs holds it up no longer than this.
const GATHER: Duration = Duration::from_millis(20);
/// How long to wait between two tries while the store does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// A settlement, and who waits for it.
type Waiting = (RawSettle, oneshot::Sender<Result<Held>>);

/// Settles for all workers of a process.
#[derive(Debug, Clone)]
pub(crate) struct Settler(mpsc::Sender<Waiting>);

impl Settler {
    /// Starts it; it ends when no clone is left.
    pub(crate) fn start(store: Store) -> Self {
        let (sender, waiting) = mpsc::channel(MAX_SENDING);
        let waiting = Arc::new(Mutex::new(waiting));
        supervise(Task::Settler, move || run(store.clone(), Arc::clone(&waiting)));
        Self(sender)
    }

    /// Settles, also through an outage that ends before the lease does: what is not settled is sent a second time.
    pub(crate) async fn settle(&self, settle: RawSettle, lease: &Ends) {
        loop {
            match self.try_to_settle(settle.clone()).await {
                Some(Ok(Held::Yes)) => return,
                Some(Ok(Held::No)) => break,
                Some(Err(error)) => tracing::warn!(%error, event = settle.event.as_str(), "settling waits"),
                None => return, // The process ends: the lease runs out.
            }
            tokio::time::sleep(PAUSE).await;
            if lease.moment() <= Instant::now() {
                break;
            }
        }
        tracing::warn!(event = settle.event.as_str(), "a lease ran out before its delivery was settled");
    }

    async fn try_to_settle(&self, settle: RawSettle) -> Option<Result<Held>> {
        let (answer, answered) = oneshot::channel();
        self.0.send((settle, answer)).await.ok()?;
        let panicked = |_| Err(StoreErrorKind::Unavailable.with("what settles has ended"));
        Some(answered.await.unwrap_or_else(panicked))
    }
}

/// One run at a time: the next one finds the lock free where a panic has ended the one before.
async fn run(store: Store, waiting: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
    let mut waiting = waiting.lock().await;
    let mut together = Vec::with_capacity(MAX_TOGETHER);
    while waiting.recv_many(&mut together, MAX_TOGETHER).await > 0 {
        let act = spawn(Task::Settlement, settle_all(store.clone(), together.split_off(0)));
        // It goes on if it takes longer.
        drop(tokio::time::timeout(GATHER, act).await);
    }
}

async fn settle_all(store: Store, together: Vec<Waiting>) {
    let (settlements, waiting): (Vec<_>, Vec<_>) = together.into_iter().unzip();
    let held = match store.settle(settlements).await {
        Ok(held) => held.into_iter().map(Ok).collect(),
        Err(error) => {
            let kind = error.kind();
            let text = error.to_string();
            waiting.iter().map(|_| Err(kind.with(text.clone()))).collect::<Vec<_>>()
        }
    };
    for (waiting, held) in waiting.into_iter().zip(held) {
        // Whoever no longer waits has been cut off by a stop.
        drop(waiting.send(held));
    }
}

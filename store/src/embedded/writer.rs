//! The single writer: operations that arrive together share one durable transaction.

use std::sync::Arc;
use std::thread::JoinHandle;

use gatepost_runtime::{Task, catch_sync, fail_point, supervise_thread};
use redb::{Database, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::errors::store_error;
use crate::error::{Result, StoreErrorKind};

/// Capacity of the writer's queue; when it is full, callers wait.
const QUEUE_CAPACITY: usize = 1024;
/// Maximum operations per transaction.
const MAX_BATCH: usize = 256;

/// An operation that waits for its transaction.
trait Job: Send {
    /// Performs the operation. It may be performed again in another transaction if this one fails.
    fn perform(&mut self, transaction: &WriteTransaction) -> Result<()>;

    /// Reports to the caller how the transaction ended.
    fn complete(self: Box<Self>, outcome: Result<()>);
}

struct PendingOp<T, F> {
    op: F,
    result: Option<T>,
    has_panicked: bool,
    caller: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnMut(&WriteTransaction) -> Result<T> + Send> Job for PendingOp<T, F> {
    fn perform(&mut self, transaction: &WriteTransaction) -> Result<()> {
        if self.has_panicked {
            return Err(panicked_error());
        }
        let op = &mut self.op;
        let Ok(result) = catch_sync(Task::StoreWrite, || op(transaction)) else {
            self.has_panicked = true;
            return Err(panicked_error());
        };
        self.result = Some(result?);
        Ok(())
    }

    fn complete(self: Box<Self>, outcome: Result<()>) {
        let PendingOp { result, caller, .. } = *self;
        // The caller may be gone; what was written stays written.
        drop(caller.send(outcome.and_then(|()| result.ok_or_else(stopped_error))));
    }
}

/// The writer's thread. Dropping it waits for the queued operations to finish.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(database: Arc<Database>) -> Result<Self> {
        let (jobs, mut receiver) = mpsc::channel(QUEUE_CAPACITY);
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let thread = supervise_thread(Task::StoreWriter, move || run(&database, &mut receiver, &mut batch))
            .map_err(|error| StoreErrorKind::Refused.with(error))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Performs an operation and returns once it is on disk. A failed operation leaves nothing behind.
    pub(super) async fn perform<T, F>(&self, op: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&WriteTransaction) -> Result<T> + Send + 'static,
    {
        let (caller, result) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(stopped_error)?;
        jobs.send(Box::new(PendingOp { op, result: None, has_panicked: false, caller }))
            .await
            .map_err(|_| stopped_error())?;
        result.await.map_err(|_| stopped_error())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the writer has been logged.
            drop(thread.join());
        }
    }
}

fn stopped_error() -> crate::error::StoreError {
    StoreErrorKind::Unavailable.with("the writer has stopped")
}

fn panicked_error() -> crate::error::StoreError {
    StoreErrorKind::Unavailable.with("a store write panicked")
}

fn run(database: &Database, receiver: &mut mpsc::Receiver<Box<dyn Job>>, batch: &mut Vec<Box<dyn Job>>) {
    // Jobs left by a previous run of this thread, which panicked.
    batch.drain(..).for_each(|job| job.complete(Err(panicked_error())));
    while receiver.blocking_recv_many(batch, MAX_BATCH) > 0 {
        fail_point(Task::StoreWriter);
        if write_batch(database, batch).is_ok() {
            batch.drain(..).for_each(|job| job.complete(Ok(())));
            continue;
        }
        // One failing operation must not fail the others: each gets its own transaction.
        for mut job in batch.drain(..) {
            let outcome = write_batch(database, std::slice::from_mut(&mut job));
            job.complete(outcome);
        }
    }
}

fn write_batch(database: &Database, batch: &mut [Box<dyn Job>]) -> Result<()> {
    let transaction = database.begin_write().map_err(store_error)?;
    let result = batch.iter_mut().try_for_each(|job| job.perform(&transaction));
    match result {
        Ok(()) => transaction.commit().map_err(store_error),
        Err(error) => {
            transaction.abort().map_err(store_error)?;
            Err(error)
        }
    }
}

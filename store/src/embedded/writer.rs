//! The one writer: acts that arrive together share one durable transaction.

use std::sync::Arc;
use std::thread::JoinHandle;

use gatepost_runtime::{Task, catch_sync, fail_point, supervise_thread};
use redb::{Database, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::failure;
use crate::error::{Result, StoreErrorKind};

/// Acts that may wait for the writer; beyond, callers wait.
const MAX_WAITING: usize = 1024;
/// Acts of one transaction.
const MAX_GROUP: usize = 256;

/// An act that waits for its transaction.
trait Job: Send {
    /// Performs the act. It may be performed again, in another transaction, if this one fails.
    fn perform(&mut self, transaction: &WriteTransaction) -> Result<()>;

    /// Tells the caller how its transaction ended.
    fn end(self: Box<Self>, outcome: Result<()>);
}

struct Act<T, F> {
    act: F,
    answer: Option<T>,
    has_panicked: bool,
    caller: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnMut(&WriteTransaction) -> Result<T> + Send> Job for Act<T, F> {
    fn perform(&mut self, transaction: &WriteTransaction) -> Result<()> {
        if self.has_panicked {
            return Err(panicked());
        }
        let act = &mut self.act;
        let Ok(answer) = catch_sync(Task::StoreWrite, || act(transaction)) else {
            self.has_panicked = true;
            return Err(panicked());
        };
        self.answer = Some(answer?);
        Ok(())
    }

    fn end(self: Box<Self>, outcome: Result<()>) {
        let Act { answer, caller, .. } = *self;
        // The caller may have gone; what was written stays written.
        drop(caller.send(outcome.and_then(|()| answer.ok_or_else(stopped))));
    }
}

/// The writer's thread. Dropping it lets the acts that wait finish.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(database: Arc<Database>) -> Result<Self> {
        let (jobs, mut waiting) = mpsc::channel(MAX_WAITING);
        let mut group = Vec::with_capacity(MAX_GROUP);
        let thread = supervise_thread(Task::StoreWriter, move || run(&database, &mut waiting, &mut group))
            .map_err(|error| StoreErrorKind::Refused.with(error))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Performs an act. It is answered only when it is on disk. One that fails leaves nothing behind.
    pub(super) async fn perform<T, F>(&self, act: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&WriteTransaction) -> Result<T> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(Box::new(Act { act, answer: None, has_panicked: false, caller })).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the writer was already logged.
            drop(thread.join());
        }
    }
}

fn stopped() -> crate::error::StoreError {
    StoreErrorKind::Unavailable.with("the writer has stopped")
}

fn panicked() -> crate::error::StoreError {
    StoreErrorKind::Unavailable.with("a write of the store panicked")
}

fn run(database: &Database, waiting: &mut mpsc::Receiver<Box<dyn Job>>, group: &mut Vec<Box<dyn Job>>) {
    // What a run before has left, which has panicked.
    group.drain(..).for_each(|job| job.end(Err(panicked())));
    while waiting.blocking_recv_many(group, MAX_GROUP) > 0 {
        fail_point(Task::StoreWriter);
        if write(database, group).is_ok() {
            group.drain(..).for_each(|job| job.end(Ok(())));
            continue;
        }
        // One act that fails must not take the others with it: each gets a transaction of its own.
        for mut job in group.drain(..) {
            let outcome = write(database, std::slice::from_mut(&mut job));
            job.end(outcome);
        }
    }
}

fn write(database: &Database, group: &mut [Box<dyn Job>]) -> Result<()> {
    let transaction = database.begin_write().map_err(failure)?;
    let performed = group.iter_mut().try_for_each(|job| job.perform(&transaction));
    match performed {
        Ok(()) => transaction.commit().map_err(failure),
        Err(error) => {
            transaction.abort().map_err(failure)?;
            Err(error)
        }
    }
}

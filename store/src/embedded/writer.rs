//! The one writer: acts that arrive together share one durable transaction.

use std::sync::Arc;
use std::thread::JoinHandle;

use redb::{Database, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::failure;
use crate::error::{Result, StoreErrorKind};

/// Acts that may wait for the writer; beyond, callers wait.
const MAX_WAITING: usize = 1024;
/// Acts of one transaction.
const MAX_GROUP: usize = 256;

/// Called once with the fate of the transaction.
type Ending = Box<dyn FnOnce(Result<()>) + Send>;
/// Performs an act, and answers what to call when the transaction has ended.
type Job = Box<dyn FnOnce(&WriteTransaction) -> (Result<()>, Ending) + Send>;

/// The writer's thread. Dropping it lets the acts that wait finish.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(database: Arc<Database>) -> Result<Self> {
        let (jobs, waiting) = mpsc::channel(MAX_WAITING);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&database, waiting))
            .map_err(|error| StoreErrorKind::Refused.with(error))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Performs an act. It is answered only when it is on disk.
    ///
    /// An act that fails takes the whole transaction with it, so that no half of it remains.
    pub(super) async fn perform<T, F>(&self, act: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction) -> Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let answer = act(transaction);
            let fate = answer.as_ref().map(|_| ()).map_err(|error| error.kind().with(error.to_string()));
            let ending: Ending = Box::new(move |end| {
                // The caller may have gone; what was written stays written.
                drop(sender.send(end.and(answer)));
            });
            (fate, ending)
        });
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job).await.map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the writer was already printed.
            drop(thread.join());
        }
    }
}

fn stopped() -> crate::error::StoreError {
    StoreErrorKind::Unavailable.with("the writer has stopped")
}

fn run(database: &Database, mut waiting: mpsc::Receiver<Job>) {
    let mut group = Vec::with_capacity(MAX_GROUP);
    while waiting.blocking_recv_many(&mut group, MAX_GROUP) > 0 {
        let mut endings = Vec::with_capacity(group.len());
        let outcome = write(database, group.drain(..), &mut endings);
        for ending in endings {
            let copy = outcome.as_ref().copied().map_err(|error| error.kind().with(error.to_string()));
            ending(copy);
        }
    }
}

fn write(database: &Database, group: impl Iterator<Item = Job>, endings: &mut Vec<Ending>) -> Result<()> {
    let transaction = database.begin_write().map_err(failure)?;
    let mut outcome = Ok(());
    for job in group {
        if outcome.is_err() {
            break; // The rest is dropped, and its callers are told that the writer did not answer.
        }
        let (fate, ending) = job(&transaction);
        endings.push(ending);
        outcome = fate;
    }
    match outcome {
        Ok(()) => transaction.commit().map_err(failure),
        Err(error) => {
            transaction.abort().map_err(failure)?;
            Err(error)
        }
    }
}

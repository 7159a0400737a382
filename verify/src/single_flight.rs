//! Look-ups: one at a time for a key value, a bounded number in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::digest::Digest;
use gatepost_runtime::{Task, spawn};
use tokio::sync::{Semaphore, watch};

use crate::cache::CacheEntry;
use crate::verdict::Unavailable;

/// How a look-up ended.
pub(crate) type FetchResult = Result<CacheEntry, Unavailable>;

/// The look-ups in flight.
#[derive(Debug)]
pub(crate) struct SingleFlight {
    in_flight: Mutex<HashMap<Digest, watch::Receiver<Option<FetchResult>>>>,
    permits: Arc<Semaphore>,
}

impl SingleFlight {
    /// At most so many at a time.
    pub(crate) fn new(max: usize) -> Self {
        Self { in_flight: Mutex::default(), permits: Arc::new(Semaphore::new(max)) }
    }

    /// Joins the look-up of this value, or begins one. It runs as a task of its own: a client that
    /// goes away takes nobody else's look-up with it.
    pub(crate) async fn join_or_start<F>(self: &Arc<Self>, digest: Digest, fetch: impl FnOnce() -> F) -> FetchResult
    where
        F: Future<Output = FetchResult> + Send + 'static,
    {
        let mut receiver = self.subscribe_or_start(digest, fetch)?;
        let finished = receiver.wait_for(Option::is_some).await;
        finished.ok().and_then(|result| result.clone()).unwrap_or(Err(Unavailable::Store))
    }

    fn subscribe_or_start<F>(
        self: &Arc<Self>,
        digest: Digest,
        fetch: impl FnOnce() -> F,
    ) -> Result<watch::Receiver<Option<FetchResult>>, Unavailable>
    where
        F: Future<Output = FetchResult> + Send + 'static,
    {
        let mut in_flight = self.lock();
        if let Some(receiver) = in_flight.get(&digest) {
            return Ok(receiver.clone());
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| Unavailable::Busy)?;
        let (sender, receiver) = watch::channel(None);
        in_flight.insert(digest, receiver.clone());
        drop(in_flight);
        let guard = FlightGuard { single_flight: Arc::clone(self), digest };
        let fetch = fetch();
        spawn(Task::Fetch, async move {
            let result = fetch.await;
            // Leave the map first: who comes later must begin a look-up of its own.
            drop(guard);
            drop(permit);
            sender.send_replace(Some(result));
        });
        Ok(receiver)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, watch::Receiver<Option<FetchResult>>>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a look-up off the map, also when its task panics or its runtime ends.
struct FlightGuard {
    single_flight: Arc<SingleFlight>,
    digest: Digest,
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        self.single_flight.lock().remove(&self.digest);
    }
}

//! Fetches in flight: one at a time per key value, and a bounded number in total.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::digest::Digest;
use gatepost_runtime::{Task, spawn};
use tokio::sync::{Semaphore, watch};

use crate::cache::CacheEntry;
use crate::verdict::Unavailable;

/// Result of a fetch.
pub(crate) type FetchResult = Result<CacheEntry, Unavailable>;

/// Fetches in flight, by key value.
#[derive(Debug)]
pub(crate) struct SingleFlight {
    in_flight: Mutex<HashMap<Digest, watch::Receiver<Option<FetchResult>>>>,
    permits: Arc<Semaphore>,
}

impl SingleFlight {
    /// Allows at most `max` concurrent fetches.
    pub(crate) fn new(max: usize) -> Self {
        Self { in_flight: Mutex::default(), permits: Arc::new(Semaphore::new(max)) }
    }

    /// Joins the fetch of this value in flight, or starts one. The fetch runs in a task of its own, so that a
    /// client that disconnects does not cancel it for others. Fails with [`Unavailable::Busy`] if the maximum
    /// is reached.
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
            // Removed from the map first: later requests must start a fetch of their own.
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

/// Removes a fetch from the map, even if its task panics or its runtime ends.
struct FlightGuard {
    single_flight: Arc<SingleFlight>,
    digest: Digest,
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        self.single_flight.lock().remove(&self.digest);
    }
}

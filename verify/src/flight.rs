//! Look-ups: one at a time for a key value, a bounded number in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::digest::Digest;
use gatepost_runtime::{Task, spawn};
use tokio::sync::{Semaphore, watch};

use crate::api::Unavailable;
use crate::cache::Looked;

/// How a look-up ended.
pub(crate) type Outcome = Result<Looked, Unavailable>;

/// The look-ups in flight.
#[derive(Debug)]
pub(crate) struct Flights {
    flying: Mutex<HashMap<Digest, watch::Receiver<Option<Outcome>>>>,
    places: Arc<Semaphore>,
}

impl Flights {
    /// At most so many at a time.
    pub(crate) fn new(max: usize) -> Self {
        Self { flying: Mutex::default(), places: Arc::new(Semaphore::new(max)) }
    }

    /// Joins the look-up of this value, or begins one. It runs as a task of its own: a client that
    /// goes away takes nobody else's look-up with it.
    pub(crate) async fn join_or_start<F>(self: &Arc<Self>, digest: Digest, look_up: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut receiver = self.receiver(digest, look_up)?;
        let ended = receiver.wait_for(Option::is_some).await;
        ended.ok().and_then(|outcome| outcome.clone()).unwrap_or(Err(Unavailable::Store))
    }

    fn receiver<F>(
        self: &Arc<Self>,
        digest: Digest,
        look_up: impl FnOnce() -> F,
    ) -> Result<watch::Receiver<Option<Outcome>>, Unavailable>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut flying = self.lock();
        if let Some(receiver) = flying.get(&digest) {
            return Ok(receiver.clone());
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Unavailable::Busy)?;
        let (sender, receiver) = watch::channel(None);
        flying.insert(digest, receiver.clone());
        drop(flying);
        let landing = Landing { flights: Arc::clone(self), digest };
        let look_up = look_up();
        spawn(Task::Fetch, async move {
            let outcome = look_up.await;
            // Leave the map first: who comes later must begin a look-up of its own.
            drop(landing);
            drop(place);
            sender.send_replace(Some(outcome));
        });
        Ok(receiver)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, watch::Receiver<Option<Outcome>>>> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a look-up off the map, also when its task panics or its runtime ends.
struct Landing {
    flights: Arc<Flights>,
    digest: Digest,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.digest);
    }
}

//! First uses: claimed before the request goes upstream, and repeated where the store did not answer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::digest::Digest;
use gatepost_domain::id::KeyId;
use gatepost_domain::permit::KeyFacts;

/// Claims that may wait for the store. Beyond, later uses of the key claim it.
pub(crate) const MAX_PENDING: usize = 10_000;

/// A claim that the store did not answer.
#[derive(Debug, Clone)]
pub(crate) struct PendingClaim {
    pub(crate) facts: Arc<KeyFacts>,
    pub(crate) digest: Digest,
    /// The client's address.
    pub(crate) client: Option<IpAddr>,
}

/// Claims that wait for the store, by key.
#[derive(Debug, Default)]
pub(crate) struct PendingClaims(Mutex<HashMap<KeyId, PendingClaim>>);

impl PendingClaims {
    /// Remembers a claim, if there is room.
    pub(crate) fn push(&self, claim: PendingClaim) {
        let mut pending = self.lock();
        if pending.len() < MAX_PENDING {
            pending.insert(claim.facts.key.clone(), claim);
        }
    }

    /// Forgets a claim that was answered.
    pub(crate) fn remove(&self, key: &KeyId) {
        self.lock().remove(key);
    }

    /// Up to `max` of them, to be tried again.
    pub(crate) fn batch(&self, max: usize) -> Vec<PendingClaim> {
        self.lock().values().take(max).cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, PendingClaim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

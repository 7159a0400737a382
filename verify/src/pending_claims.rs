//! Pending first-use claims: a first use is claimed before the request goes upstream, and retried if the store
//! did not respond.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::digest::Digest;
use gatepost_domain::id::KeyId;
use gatepost_domain::key_facts::KeyFacts;

/// Maximum number of pending claims. Beyond that a claim is dropped; the next use of the key claims it.
pub(crate) const MAX_PENDING: usize = 10_000;

/// A claim to which the store has not responded.
#[derive(Debug, Clone)]
pub(crate) struct PendingClaim {
    pub(crate) facts: Arc<KeyFacts>,
    pub(crate) digest: Digest,
    /// Client address of the request.
    pub(crate) client: Option<IpAddr>,
}

/// Claims that wait for a retry, by key.
#[derive(Debug, Default)]
pub(crate) struct PendingClaims(Mutex<HashMap<KeyId, PendingClaim>>);

impl PendingClaims {
    /// Adds a claim unless [`MAX_PENDING`] is reached.
    pub(crate) fn push(&self, claim: PendingClaim) {
        let mut pending = self.lock();
        if pending.len() < MAX_PENDING {
            pending.insert(claim.facts.key.clone(), claim);
        }
    }

    /// Removes a claim that was processed.
    pub(crate) fn remove(&self, key: &KeyId) {
        self.lock().remove(key);
    }

    /// Returns up to `max` claims to retry.
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

//! Secrets of webhooks as they are stored: sealed.

use crate::time::Timestamp;

/// Ciphertext of a secret. Only the store's envelope encryption can open it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// A replaced signing secret with which requests are still signed in addition to the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldSecret {
    /// The secret, sealed and bound to the webhook's id.
    pub secret: Sealed,
    /// Time from which it is no longer used.
    pub until: Timestamp,
}

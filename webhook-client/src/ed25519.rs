//! Ed25519 keys (RFC 8032) for `v1a` signatures.

use gatepost_domain::record::PublicKey;
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

/// Bytes of a seed.
const SEED_BYTES: usize = 32;

/// Seed of a secret key, wiped from memory when dropped.
pub struct Ed25519Seed(Zeroizing<[u8; SEED_BYTES]>);

impl Ed25519Seed {
    /// Wraps random bytes.
    pub fn new(bytes: Zeroizing<[u8; SEED_BYTES]>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, to store them sealed.
    pub fn as_bytes(&self) -> &[u8; SEED_BYTES] {
        &self.0
    }

    /// Returns the public key.
    pub fn public_key(&self) -> PublicKey {
        let bytes = self.key_pair().public_key().as_ref().try_into();
        PublicKey(bytes.expect("an Ed25519 public key has 32 bytes"))
    }

    /// Returns the signature of a message: 64 bytes.
    pub(crate) fn sign(&self, message: &[u8]) -> impl AsRef<[u8]> + use<> {
        self.key_pair().sign(message)
    }

    fn key_pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(self.as_bytes()).expect("any 32 bytes are a seed")
    }
}

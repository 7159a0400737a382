//! Digests of keys, the only form in which keys are stored: `HMAC-SHA256(pepper, SHA-256(key))`.

use std::fmt;
use std::hash::{Hash, Hasher};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};

/// Digest of one key value. It cannot be used to call the API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Hashes the prefix only: without the pepper nobody can choose prefixes that collide.
impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.prefix());
    }
}

impl Digest {
    /// Wraps the 32 bytes of a digest.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes of the digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first eight bytes as a number. They are uniformly distributed, so stripes and hash tables
    /// can use them directly.
    pub fn prefix(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(bytes)
    }

    /// Returns the digest as 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Parses the output of [`Digest::to_hex`].
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// Secret key of the digests: without it a stolen table of digests is useless. It never leaves the process in
/// plaintext.
#[derive(Clone)]
pub struct Pepper {
    mac: Hmac<Sha256>,
}

impl Pepper {
    /// Creates a pepper from 32 secret bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes any key length");
        Self { mac }
    }

    /// Returns the digest under which a key value is stored and looked up.
    pub fn digest(&self, plain: &str) -> Digest {
        self.digest_of_sha256(&Sha256::digest(plain.as_bytes()).into())
    }

    /// Returns the same digest from the SHA-256 of a value. An import may have only the hash.
    pub fn digest_of_sha256(&self, sha256: &[u8; 32]) -> Digest {
        let mut mac = self.mac.clone();
        mac.update(sha256);
        Digest(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_key_and_pepper_and_survives_hex() {
        let pepper = Pepper::new(&[7; 32]);
        let digest = pepper.digest("live_abc");
        assert_eq!(digest, pepper.digest("live_abc"));
        assert_ne!(digest, pepper.digest("live_abd"));
        assert_ne!(digest, Pepper::new(&[8; 32]).digest("live_abc"));
        assert_eq!(Digest::from_hex(&digest.to_hex()), Some(digest));
        assert_eq!(Digest::from_hex("zz"), None);
    }

    #[test]
    fn an_imported_sha256_gives_the_same_digest() {
        let pepper = Pepper::new(&[7; 32]);
        let sha256: [u8; 32] = Sha256::digest(b"live_abc").into();
        assert_eq!(pepper.digest_of_sha256(&sha256), pepper.digest("live_abc"));
    }
}

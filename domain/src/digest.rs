//! What stands for a key at rest: `HMAC-SHA256(pepper, SHA-256(key))`.

use std::fmt;
use std::hash::{Hash, Hasher};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};

/// The digest of one key value. Knowing it does not let anyone call the API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Its prefix alone, which nobody can choose who does not know the pepper.
impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.prefix());
    }
}

impl Digest {
    /// From its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its first eight bytes as a number, for stripes and hash tables: they are uniform.
    pub fn prefix(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(bytes)
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads what [`Digest::to_hex`] writes.
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

/// The secret that makes a stolen table of digests useless; it never leaves the process in clear.
#[derive(Clone)]
pub struct Pepper {
    mac: Hmac<Sha256>,
}

impl Pepper {
    /// From 32 secret bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes any key length");
        Self { mac }
    }

    /// The digest under which a key's value is stored and looked up.
    pub fn digest(&self, plain: &str) -> Digest {
        self.digest_of_sha256(&Sha256::digest(plain.as_bytes()).into())
    }

    /// The same digest from the SHA-256 of a value, which is all that an import may have.
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

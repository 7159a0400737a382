//! The envelope: a random pepper and data key, stored encrypted with the operator's master key.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use gatepost_domain::digest::{Digest, Pepper};
use gatepost_domain::id::StoreId;
use gatepost_domain::key::Secret;
use gatepost_domain::record::Sealed;
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Result, StoreErrorKind};

const NONCE_BYTES: usize = 24;

/// The operator's master key: 32 random bytes, written as base64.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// The text is not a master key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a master key is the base64 of 32 random bytes; create one with: gatepost master-key create FILE")]
pub struct ParseMasterKeyError;

impl MasterKey {
    /// Generates a key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(Zeroizing::new(random_bytes(rng)))
    }

    /// Parses a key from base64.
    ///
    /// # Errors
    ///
    /// [`ParseMasterKeyError`] if the text is not the base64 of 32 bytes.
    pub fn parse(text: &str) -> std::result::Result<Self, ParseMasterKeyError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| ParseMasterKeyError)?);
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| ParseMasterKeyError)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// Returns the key as base64, for the operator's file.
    pub fn to_base64(&self) -> Secret {
        Secret::new(STANDARD.encode(*self.0))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

/// The envelope as stored: pepper and data key, sealed with the master key. During a rotation it also has them sealed
/// with the next one. Programs that do not know `next` ignore it.
#[derive(Serialize, Deserialize)]
struct StoredEnvelope {
    v: u8,
    #[serde(flatten)]
    current: SealedKeys,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<SealedKeys>,
}

/// Pepper and data key, sealed with one master key, in base64.
#[derive(Serialize, Deserialize)]
struct SealedKeys {
    pepper: String,
    data_key: String,
}

/// Pepper and data key.
struct OpenKeys {
    pepper: Zeroizing<[u8; 32]>,
    data_key: Zeroizing<[u8; 32]>,
}

/// A step of a rotation of the master key.
#[derive(Debug, Clone, Copy)]
pub enum RotationStep<'a> {
    /// The store also opens with this key.
    Begin(&'a MasterKey),
    /// The store opens only with the new key.
    Finish,
    /// The store opens only with the old key.
    Cancel,
}

/// The envelope of a store, whose master key may be rotated.
pub(crate) struct EnvelopeKeys<'a> {
    store: &'a StoreId,
    stored: StoredEnvelope,
}

/// An opened envelope: computes digests of keys, and seals and opens secrets.
pub struct Envelope {
    pepper: Pepper,
    data_cipher: XChaCha20Poly1305,
    /// Whether it also opens with another master key.
    is_rotating: bool,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Envelope(***)")
    }
}

impl Envelope {
    /// Generates pepper and data key for a new store, and returns them sealed.
    pub(crate) fn create(store: &StoreId, master_key: &MasterKey, rng: &mut impl CryptoRng) -> Result<Vec<u8>> {
        let keys = OpenKeys { pepper: Zeroizing::new(random_bytes(rng)), data_key: Zeroizing::new(random_bytes(rng)) };
        let stored = StoredEnvelope { v: 1, current: keys.seal(store, master_key, rng)?, next: None };
        EnvelopeKeys { store, stored }.to_bytes()
    }

    /// Opens a stored envelope. Only here is a wrong master key detected.
    pub(crate) fn open(store: &StoreId, master_key: &MasterKey, stored: &[u8]) -> Result<Self> {
        let sealed = EnvelopeKeys::parse(store, stored)?;
        let keys = sealed.open(master_key)?;
        Ok(Self {
            pepper: Pepper::new(&keys.pepper),
            data_cipher: cipher(&keys.data_key),
            is_rotating: sealed.stored.next.is_some(),
        })
    }

    /// Returns the digest under which a key value is stored.
    pub fn digest(&self, value: &str) -> Digest {
        self.pepper.digest(value)
    }

    /// Returns the pepper used for key digests, for callers on the request path.
    pub fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// Returns a warning if a rotation of the master key had begun when it was opened.
    pub(crate) fn warning(&self) -> Option<String> {
        self.is_rotating.then(|| {
            "the store opens with two master keys: finish the rotation with gatepost master-key rotate --finish"
                .to_owned()
        })
    }

    /// Seals a secret; it opens only with the same associated data.
    pub(crate) fn seal(&self, aad: &str, secret: &[u8], rng: &mut impl CryptoRng) -> Result<Sealed> {
        seal(&self.data_cipher, aad, secret, rng).map(Sealed)
    }

    /// Seals a text so that equal inputs give equal output: the nonce is a digest of associated data and text, so it
    /// differs for other inputs.
    pub(crate) fn seal_deterministic(&self, aad: &str, text: &str) -> Result<Sealed> {
        let digest = self.pepper.digest(&format!("{aad}\n{text}"));
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&digest.as_bytes()[..NONCE_BYTES]);
        seal_with_nonce(&self.data_cipher, nonce, aad, text.as_bytes()).map(Sealed)
    }

    /// Opens a secret sealed with the same associated data.
    pub(crate) fn unseal(&self, aad: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>> {
        open(&self.data_cipher, aad, &sealed.0)
            .ok_or_else(|| StoreErrorKind::Corrupt.with(format!("the sealed secret of {aad} cannot be decrypted")))
    }
}

impl<'a> EnvelopeKeys<'a> {
    pub(crate) fn parse(store: &'a StoreId, stored: &[u8]) -> Result<Self> {
        let stored = serde_json::from_slice(stored).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        Ok(Self { store, stored })
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.stored).map_err(|error| StoreErrorKind::Corrupt.with(error))
    }

    fn open(&self, master_key: &MasterKey) -> Result<OpenKeys> {
        match self.stored.current.open(self.store, master_key)?.or(self.open_next(master_key)?) {
            Some(keys) => Ok(keys),
            None => Err(wrong_master_key()),
        }
    }

    fn open_next(&self, master_key: &MasterKey) -> Result<Option<OpenKeys>> {
        let opened = self.stored.next.as_ref().map(|next| next.open(self.store, master_key)).transpose()?;
        Ok(opened.flatten())
    }

    /// Takes a step of a rotation. Returns whether the envelope has changed.
    pub(crate) fn rotate(
        &mut self,
        master_key: &MasterKey,
        step: RotationStep<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<bool> {
        let keys = self.open(master_key)?;
        match step {
            RotationStep::Begin(new) if self.stored.current.open(self.store, new)?.is_some() => {
                Err(StoreErrorKind::Refused.with("the new master key is the one that the store has"))
            }
            RotationStep::Begin(new) if self.open_next(new)?.is_some() => Ok(false),
            RotationStep::Begin(_) if self.stored.next.is_some() => Err(StoreErrorKind::Refused
                .with("a rotation to another master key has begun: finish it with --finish, or undo it with --cancel")),
            RotationStep::Begin(new) => {
                self.stored.next = Some(keys.seal(self.store, new, rng)?);
                Ok(true)
            }
            RotationStep::Finish if self.stored.next.is_none() => Ok(false),
            RotationStep::Finish if self.open_next(master_key)?.is_none() => Err(StoreErrorKind::Refused.with(
                "the configured master key is still the old one: configure the new one, restart all processes, and \
                 repeat this command",
            )),
            RotationStep::Finish => {
                if let Some(next) = self.stored.next.take() {
                    self.stored.current = next;
                }
                Ok(true)
            }
            RotationStep::Cancel if self.stored.next.is_none() => Ok(false),
            RotationStep::Cancel if self.stored.current.open(self.store, master_key)?.is_none() => {
                Err(StoreErrorKind::Refused.with(
                    "the configured master key is the new one: configure the old one, restart all processes, and repeat \
                     this command",
                ))
            }
            RotationStep::Cancel => {
                self.stored.next = None;
                Ok(true)
            }
        }
    }
}

impl OpenKeys {
    fn seal(&self, store: &StoreId, master_key: &MasterKey, rng: &mut impl CryptoRng) -> Result<SealedKeys> {
        let cipher = cipher(&master_key.0);
        let mut sealed = |purpose: &str, secret: &[u8; 32]| -> Result<String> {
            Ok(STANDARD.encode(seal(&cipher, &envelope_aad(store, purpose), secret, rng)?))
        };
        Ok(SealedKeys { pepper: sealed("pepper", &self.pepper)?, data_key: sealed("data-key", &self.data_key)? })
    }
}

impl SealedKeys {
    /// Opens both. Returns `None` if they are sealed with another master key.
    fn open(&self, store: &StoreId, master_key: &MasterKey) -> Result<Option<OpenKeys>> {
        let cipher = cipher(&master_key.0);
        let unseal = |purpose: &str, text: &str| -> Result<Option<Zeroizing<[u8; 32]>>> {
            let sealed = STANDARD.decode(text).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
            let opened = open(&cipher, &envelope_aad(store, purpose), &sealed);
            Ok(opened.and_then(|bytes| bytes.as_slice().try_into().ok().map(Zeroizing::new)))
        };
        let (pepper, data_key) = (unseal("pepper", &self.pepper)?, unseal("data-key", &self.data_key)?);
        Ok(pepper.zip(data_key).map(|(pepper, data_key)| OpenKeys { pepper, data_key }))
    }
}

fn wrong_master_key() -> crate::error::StoreError {
    StoreErrorKind::Refused.with(
        "the master key does not open this store: use the one with which it was created, or to which it was rotated since \
         (GATEPOST_MASTER_KEY, else store.master_key_file, else master.key next to an embedded store)",
    )
}

fn envelope_aad(store: &StoreId, purpose: &str) -> String {
    format!("{store}/{purpose}")
}

fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.into())
}

fn seal(cipher: &XChaCha20Poly1305, aad: &str, secret: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<u8>> {
    seal_with_nonce(cipher, random_bytes(rng), aad, secret)
}

fn seal_with_nonce(cipher: &XChaCha20Poly1305, nonce: [u8; NONCE_BYTES], aad: &str, secret: &[u8]) -> Result<Vec<u8>> {
    let payload = Payload { msg: secret, aad: aad.as_bytes() };
    let body = cipher
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| StoreErrorKind::Corrupt.with("a secret is too long to encrypt"))?;
    Ok([nonce.as_slice(), &body].concat())
}

fn open(cipher: &XChaCha20Poly1305, aad: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, body) = sealed.split_at_checked(NONCE_BYTES)?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
    let payload = Payload { msg: body, aad: aad.as_bytes() };
    cipher.decrypt(&XNonce::from(nonce), payload).ok().map(Zeroizing::new)
}

fn random_bytes<const N: usize>(rng: &mut impl CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn envelope_opens_only_with_its_master_key_and_store() {
        let mut rng = StdRng::seed_from_u64(1);
        let (master, other) = (MasterKey::generate(&mut rng), MasterKey::generate(&mut rng));
        let (store, foreign) = (StoreId::generate(&mut rng), StoreId::generate(&mut rng));
        let stored = Envelope::create(&store, &master, &mut rng).unwrap();
        let envelope = Envelope::open(&store, &master, &stored).unwrap();
        assert_eq!(Envelope::open(&store, &other, &stored).unwrap_err().kind(), StoreErrorKind::Refused);
        assert_eq!(Envelope::open(&foreign, &master, &stored).unwrap_err().kind(), StoreErrorKind::Refused);

        let sealed = envelope.seal("evt_1", b"secret", &mut rng).unwrap();
        assert_eq!(envelope.unseal("evt_1", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(envelope.unseal("evt_2", &sealed).unwrap_err().kind(), StoreErrorKind::Corrupt);

        let deterministic = |aad: &str, text: &str| envelope.seal_deterministic(aad, text).unwrap();
        assert_eq!(deterministic("list", "here").0, deterministic("list", "here").0);
        assert_ne!(deterministic("list", "here").0[..NONCE_BYTES], deterministic("other", "here").0[..NONCE_BYTES]);
        assert_ne!(deterministic("list", "here").0[..NONCE_BYTES], deterministic("list", "there").0[..NONCE_BYTES]);
        assert_eq!(envelope.unseal("list", &deterministic("list", "here")).unwrap().as_slice(), b"here");
    }

    #[test]
    fn two_master_keys_open_the_envelope_during_a_rotation() {
        let mut rng = StdRng::seed_from_u64(1);
        let [old, new, other] = [(); 3].map(|()| MasterKey::generate(&mut rng));
        let store = StoreId::generate(&mut rng);
        let stored = Envelope::create(&store, &old, &mut rng).unwrap();
        let sealed = Envelope::open(&store, &old, &stored).unwrap().seal("evt_1", b"secret", &mut rng).unwrap();
        let opens = |stored: &[u8]| {
            [&old, &new, &other].map(|key| {
                let opened = Envelope::open(&store, key, stored);
                opened.is_ok_and(|envelope| envelope.unseal("evt_1", &sealed).unwrap().as_slice() == b"secret")
            })
        };
        let mut step = |stored: &[u8], key: &MasterKey, step: RotationStep<'_>| {
            let mut keys = EnvelopeKeys::parse(&store, stored).unwrap();
            let changed = keys.rotate(key, step, &mut rng).map_err(|error| error.kind())?;
            Ok(changed.then(|| keys.to_bytes().unwrap()))
        };
        let refused = Err(StoreErrorKind::Refused);

        assert_eq!(step(&stored, &other, RotationStep::Begin(&new)), refused);
        assert_eq!(step(&stored, &old, RotationStep::Begin(&old)), refused);
        for unchanging in [RotationStep::Finish, RotationStep::Cancel] {
            assert_eq!(step(&stored, &old, unchanging), Ok(None));
        }
        let both = step(&stored, &old, RotationStep::Begin(&new)).unwrap().unwrap();
        assert_eq!(opens(&both), [true, true, false]);
        assert_eq!(step(&both, &old, RotationStep::Begin(&new)), Ok(None), "it may be repeated");
        assert_eq!(step(&both, &old, RotationStep::Begin(&other)), refused);
        assert_eq!(step(&both, &old, RotationStep::Finish), refused);
        assert_eq!(step(&both, &new, RotationStep::Cancel), refused);
        let cancelled = step(&both, &old, RotationStep::Cancel).unwrap().unwrap();
        assert_eq!((opens(&cancelled), &cancelled), ([true, false, false], &stored));
        let finished = step(&both, &new, RotationStep::Finish).unwrap().unwrap();
        assert_eq!(opens(&finished), [false, true, false]);
    }

    #[test]
    fn master_key_round_trips_through_base64() {
        let master = MasterKey::generate(&mut StdRng::seed_from_u64(1));
        assert_eq!(*MasterKey::parse(master.to_base64().expose()).unwrap().0, *master.0);
        assert!(MasterKey::parse("c2hvcnQ=").is_err());
    }
}

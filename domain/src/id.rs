//! Opaque ids: a prefix that names the kind, two characters for the partition, 22 random base 62 digits.

use std::fmt;
use std::sync::Arc;

use rand::CryptoRng;
use sha2::{Digest as _, Sha256};

use crate::base62;
use crate::digest::Digest;
use crate::partition::Partition;

/// Random digits of an id (131 bits).
const RANDOM_DIGITS: usize = 22;

/// Maximum length of an id in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// Error for a text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}…")]
pub struct ParseIdError {
    prefix: &'static str,
}

fn generate(prefix: &str, partition: Partition, rng: &mut impl CryptoRng) -> Arc<str> {
    let mut text = String::with_capacity(MAX_ID_BYTES);
    text.push_str(prefix);
    partition.push_to(&mut text);
    base62::push_random(&mut text, RANDOM_DIGITS, rng);
    text.into()
}

fn parse(prefix: &'static str, text: &str) -> Result<Arc<str>, ParseIdError> {
    let rest = text.strip_prefix(prefix).ok_or(ParseIdError { prefix })?;
    if rest.is_empty() || text.len() > MAX_ID_BYTES || !base62::is_base62(rest) {
        return Err(ParseIdError { prefix });
    }
    Ok(text.into())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Prefix of every id of this kind.
            pub const PREFIX: &'static str = $prefix;

            /// Parses an id from untrusted input.
            ///
            /// # Errors
            /// Fails if the prefix is another one, if the rest is empty or not base 62, or if the text is
            /// longer than [`MAX_ID_BYTES`].
            pub fn parse(text: &str) -> Result<Self, ParseIdError> {
                parse($prefix, text).map(Self)
            }

            /// Returns the id as text, prefix included.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// Ids that say where in a store their record is.
macro_rules! placed_id {
    ($($name:ident),*) => {$(
        impl $name {
            /// Generates a random id in a partition.
            pub fn generate_in(partition: Partition, rng: &mut impl CryptoRng) -> Self {
                Self(generate(Self::PREFIX, partition, rng))
            }

            /// Returns the partition that the id carries. Ids of earlier versions all carry the first one.
            pub fn partition(&self) -> Partition {
                Partition::of_id(&self.0)
            }
        }
    )*};
}

/// Ids that belong to no partition: they carry the first.
macro_rules! unplaced_id {
    ($($name:ident),*) => {$(
        impl $name {
            /// Generates a random id.
            pub fn generate(rng: &mut impl CryptoRng) -> Self {
                Self(generate(Self::PREFIX, Partition::default(), rng))
            }
        }
    )*};
}

id!(/// Id of an account, the top-level tenant.
    AccountId, "acc_");
id!(/// Id of a project.
    ProjectId, "prj_");
id!(/// Id of an API key. It stays the same when the key is rotated.
    KeyId, "key_");
id!(/// Id of an access key of the admin API.
    AccessKeyId, "ak_");
id!(/// Id of a webhook.
    WebhookId, "wh_");
id!(/// Id of an event, sent as `webhook-id` with every delivery and retry.
    EventId, "evt_");
id!(/// Id of a recovery: a job that sends dead and dropped deliveries of a webhook again.
    RecoveryId, "rec_");
id!(/// Id of one run of a gateway process.
    GatewayId, "gw_");
id!(/// Id of a store. A different store behind the same address is an outage, not an empty store.
    StoreId, "st_");
id!(/// Token of a delivery lease: only its holder can settle the delivery.
    LeaseToken, "lt_");

placed_id!(AccountId, ProjectId, KeyId, AccessKeyId, WebhookId, EventId, RecoveryId);
unplaced_id!(GatewayId, StoreId, LeaseToken);

impl AccountId {
    /// Generates a random id in a random partition.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::generate_in(Partition::generate(rng), rng)
    }

    /// Derives the id of an account that an operator creates by name. Concurrent creations claim the same id,
    /// so only one succeeds.
    pub fn from_name(name: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        Self(derive_from_hash(Self::PREFIX, Partition::of_hash(&hash), &hash))
    }
}

impl ProjectId {
    /// Derives the id of the project that a new store begins with. Concurrent creations claim the same id, so only one
    /// succeeds.
    pub fn first_of(account: &AccountId) -> Self {
        let hash: [u8; 32] = Sha256::digest(format!("first project of {account}")).into();
        Self(derive_from_hash(Self::PREFIX, account.partition(), &hash))
    }
}

impl KeyId {
    /// Derives the id of an imported key from its digest. The same value always gets the same id, so a repeated
    /// import creates no duplicates. Earlier versions derived another id from it.
    pub fn from_digest(digest: &Digest) -> Self {
        Self(derive_from_hash(Self::PREFIX, Partition::of_digest(digest), digest.as_bytes()))
    }
}

/// Derives [`RANDOM_DIGITS`] digits from the first half of a hash.
fn derive_from_hash(prefix: &str, partition: Partition, hash: &[u8; 32]) -> Arc<str> {
    let mut text = prefix.to_owned();
    partition.push_to(&mut text);
    for half in hash.as_chunks::<8>().0.iter().take(2) {
        base62::push_number(&mut text, u64::from_be_bytes(*half), RANDOM_DIGITS as u32 / 2);
    }
    text.into()
}

impl EventId {
    /// Returns the event id of a key's import. It is the same however often the import is repeated.
    pub fn for_import(key: &KeyId) -> Self {
        let rest = key.as_str().strip_prefix(KeyId::PREFIX).unwrap_or(key.as_str());
        Self(format!("{}{rest}IM", Self::PREFIX).into())
    }

    /// Returns the only event id of a key's first use. However often the claim is repeated, receivers see one
    /// event (invariant 2).
    pub fn for_first_use(key: &KeyId) -> Self {
        let rest = key.as_str().strip_prefix(KeyId::PREFIX).unwrap_or(key.as_str());
        Self(format!("{}{rest}FU", Self::PREFIX).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn generated_ids_parse_and_carry_the_partition() {
        let mut rng = StdRng::seed_from_u64(1);
        let partition = Partition::of_id("key_3x");
        let id = KeyId::generate_in(partition, &mut rng);
        assert_eq!(KeyId::parse(id.as_str()), Ok(id.clone()));
        assert_eq!((id.as_str().len(), id.partition()), (28, partition));
        assert!(id.as_str().starts_with("key_3x"));
        assert_eq!(EventId::for_first_use(&id).partition(), partition);
        assert_eq!(EventId::for_import(&id).partition(), partition);
        assert!(GatewayId::generate(&mut rng).as_str().starts_with("gw_00"));
    }

    #[test]
    fn other_kinds_and_invalid_characters_are_rejected() {
        for text in ["", "key_", "prj_00abc", "key_00 a", "key_00/..", &format!("key_{}", "a".repeat(90))] {
            assert!(KeyId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_has_one_account_id_that_parses() {
        let id = AccountId::from_name("acme");
        assert_eq!(id, AccountId::from_name("acme"));
        assert_ne!(id, AccountId::from_name("acme2"));
        assert_eq!(AccountId::parse(id.as_str()), Ok(id.clone()));
        assert_eq!(id.as_str().len(), AccountId::PREFIX.len() + 2 + RANDOM_DIGITS);
    }

    #[test]
    fn an_account_has_one_first_project_next_to_it() {
        let account = AccountId::from_name("acme");
        let id = ProjectId::first_of(&account);
        assert_eq!(id, ProjectId::first_of(&account));
        assert_ne!(id, ProjectId::first_of(&AccountId::from_name("acme2")));
        assert_eq!((ProjectId::parse(id.as_str()), id.partition()), (Ok(id.clone()), account.partition()));
    }

    #[test]
    fn a_first_use_has_one_event_id_that_parses() {
        let key = KeyId::generate_in(Partition::default(), &mut StdRng::seed_from_u64(2));
        let event = EventId::for_first_use(&key);
        assert_eq!(event, EventId::for_first_use(&key));
        assert_eq!(EventId::parse(event.as_str()), Ok(event));
    }
}

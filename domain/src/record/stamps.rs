//! Author and times of a record's changes, and whether the record is active.

use crate::id::{AccessKeyId, KeyId};
use crate::time::Timestamp;

/// Author of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A caller of the admin API.
    AccessKey(AccessKeyId),
    /// A key, by its first use, seen by a gateway or by the admin API.
    Key(KeyId),
    /// The operator, on the command line.
    Operator,
    /// The deliverer, by what the attempts of a webhook show.
    Deliverer,
}

/// Creation and last update of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamps {
    /// Creation time.
    pub created_at: Timestamp,
    /// Creator.
    pub created_by: Actor,
    /// Time of the last update.
    pub updated_at: Timestamp,
    /// Author of the last update.
    pub updated_by: Actor,
}

impl Stamps {
    /// Returns the stamps of a record created at `now`.
    pub fn new(now: Timestamp, by: Actor) -> Self {
        Self { created_at: now, created_by: by.clone(), updated_at: now, updated_by: by }
    }

    /// Returns the stamps after an update at `now`.
    pub fn updated(&self, now: Timestamp, by: Actor) -> Self {
        Self { updated_at: now, updated_by: by, ..self.clone() }
    }
}

/// Whether a record is active. Keys are deactivated, not removed, so that they keep their history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// In use.
    Active,
    /// Deactivated; for a key: revoked.
    Inactive,
}

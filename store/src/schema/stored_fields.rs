//! Parts that several stored schemas share.

use gatepost_domain::id::{AccessKeyId, KeyId};
use gatepost_domain::record::{Actor, Stamps, Status};
use gatepost_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Result, StoreErrorKind};

#[derive(Serialize, Deserialize, Clone)]
pub(super) struct StoredStamps {
    created_at: u64,
    created_by: String,
    updated_at: u64,
    updated_by: String,
}

impl From<&Stamps> for StoredStamps {
    fn from(stamps: &Stamps) -> Self {
        Self {
            created_at: stamps.created_at.as_ms(),
            created_by: format_actor(&stamps.created_by),
            updated_at: stamps.updated_at.as_ms(),
            updated_by: format_actor(&stamps.updated_by),
        }
    }
}

impl StoredStamps {
    pub(super) fn decode(&self) -> Result<Stamps> {
        Ok(Stamps {
            created_at: Timestamp::from_ms(self.created_at),
            created_by: parse_actor(&self.created_by)?,
            updated_at: Timestamp::from_ms(self.updated_at),
            updated_by: parse_actor(&self.updated_by)?,
        })
    }
}

/// Formats an actor as its id, `operator` or `deliverer`.
pub(crate) fn format_actor(actor: &Actor) -> String {
    match actor {
        Actor::AccessKey(id) => id.to_string(),
        Actor::Key(id) => id.to_string(),
        Actor::Operator => "operator".to_owned(),
        Actor::Deliverer => "deliverer".to_owned(),
    }
}

/// Parses the output of [`format_actor`].
pub(crate) fn parse_actor(text: &str) -> Result<Actor> {
    match text {
        "operator" => return Ok(Actor::Operator),
        "deliverer" => return Ok(Actor::Deliverer),
        _ => {}
    }
    AccessKeyId::parse(text)
        .map(Actor::AccessKey)
        .or_else(|_| KeyId::parse(text).map(Actor::Key))
        .map_err(|_| invalid_field("actor", text))
}

pub(super) fn format_status(status: Status) -> String {
    match status {
        Status::Active => "active",
        Status::Inactive => "inactive",
    }
    .to_owned()
}

pub(super) fn parse_status(text: &str) -> Result<Status> {
    match text {
        "active" => Ok(Status::Active),
        "inactive" => Ok(Status::Inactive),
        other => Err(invalid_field("status", other)),
    }
}

pub(super) fn usable_until(status: Status, expires_at: Option<Timestamp>) -> Timestamp {
    match status {
        Status::Active => expires_at.unwrap_or(Timestamp::MAX),
        Status::Inactive => Timestamp::from_ms(0),
    }
}

/// Returns the error for a stored field with a value that this version does not know.
pub(crate) fn invalid_field(field: &str, text: &str) -> crate::error::StoreError {
    StoreErrorKind::Corrupt.with(format!("a stored record has the invalid {field} {text:?}"))
}

/// Parses an id in a stored field.
pub(crate) fn parse_id<T, E>(parse: impl FnOnce(&str) -> std::result::Result<T, E>, text: &str) -> Result<T> {
    parse(text).map_err(|_| invalid_field("id", text))
}

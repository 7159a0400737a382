//! Entries of the stream as readers see them: who, when, what, old and new image without secrets.

use std::net::IpAddr;

use gatepost_domain::change::{Action, Invalidation, Propagation};
use gatepost_domain::id::{AccountId, EventId, ProjectId};
use gatepost_domain::record::{Actor, Record};
use gatepost_domain::time::Version;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::change::Change;
use crate::error::{Result, StoreErrorKind};
use crate::ops::{EntryPayload as RawTold, RawEntry, Undecodable};
use crate::schema::{self, stored_fields};

/// A change as it stands in the stream. Its records carry neither digests nor sealed secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEntry {
    /// Its position.
    pub version: Version,
    /// Its event id, if that can be read.
    pub event: Option<EventId>,
    /// What it tells.
    pub audit: std::result::Result<AuditEntry, Undecodable>,
}

/// What an entry tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// What the change did.
    pub action: Action,
    /// What it makes worthless in caches.
    pub invalidation: Invalidation,
    /// Whether an answer may have to wait for every gateway.
    pub propagation: Propagation,
    /// Who and where.
    pub metadata: ChangeMetadata,
    /// The record before.
    pub old: Option<Record>,
    /// The record after.
    pub new: Option<Record>,
    /// What a delivery's body is built from: one line of JSON, for [`crate::FanOutEvent`].
    pub(crate) metadata_line: Vec<u8>,
    pub(crate) image_line: Vec<u8>,
}

/// Who made a change, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeMetadata {
    /// Who.
    pub actor: Actor,
    /// From where, if a client asked for the change.
    pub address: Option<IpAddr>,
    /// In which account.
    pub account: AccountId,
    /// In which project, if in one.
    pub project: Option<ProjectId>,
    /// The name of the record that changed: its id.
    pub subject: String,
}

#[derive(Serialize, Deserialize)]
struct StoredMetadata {
    actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    account: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old: Option<Box<RawValue>>,
}

/// The head of a change as one line of JSON.
pub(crate) fn encode_metadata(change: &Change, address: Option<IpAddr>) -> Result<Vec<u8>> {
    let account = change.account().ok_or_else(|| corrupt("a change without a record"))?;
    let subject = change.writes.first().and_then(|write| write.new.as_ref().or(write.old.as_ref().map(|o| &o.record)));
    let old = change.writes.first().and_then(|write| write.old.as_ref());
    let stored = StoredMetadata {
        actor: stored_fields::format_actor(&change.actor),
        address: address.map(|address| address.to_string()),
        account: account.to_string(),
        project: change.project().map(|id| id.to_string()),
        subject: subject.map(|record| schema::record_name(record).0).unwrap_or_default(),
        old: old.map(|old| encode_raw_image(&old.record)).transpose()?,
    };
    serde_json::to_vec(&stored).map_err(corrupt)
}

/// The head of a first use, which has no old image.
pub(crate) fn encode_first_use_metadata(
    actor: &Actor,
    address: Option<IpAddr>,
    account: &AccountId,
    project: &ProjectId,
    subject: &str,
) -> Result<Vec<u8>> {
    let stored = StoredMetadata {
        actor: stored_fields::format_actor(actor),
        address: address.map(|address| address.to_string()),
        account: account.to_string(),
        project: Some(project.to_string()),
        subject: subject.to_owned(),
        old: None,
    };
    serde_json::to_vec(&stored).map_err(corrupt)
}

fn encode_raw_image(record: &Record) -> Result<Box<RawValue>> {
    serde_json::from_slice(&schema::encode_for_stream(record)?).map_err(corrupt)
}

/// An entry from its fields. What cannot be read becomes undecodable; its scope still counts.
pub(crate) fn decode(raw: RawEntry) -> StreamEntry {
    let decoded = raw.payload.and_then(|told| {
        decode_payload(&told).map_err(|error| Undecodable {
            invalidation: told.invalidation.clone(),
            bytes: [told.metadata.as_slice(), b"\n", &told.image].concat(),
            reason: error.to_string(),
        })
    });
    StreamEntry { version: raw.version, event: raw.event, audit: decoded }
}

fn decode_payload(payload: &RawTold) -> Result<AuditEntry> {
    let (metadata, old) = decode_metadata(&payload.metadata)?;
    let new = decode_image(&metadata.subject, &payload.image)?;
    Ok(AuditEntry {
        action: payload.action,
        invalidation: payload.invalidation.clone(),
        propagation: payload.propagation,
        metadata,
        old,
        new,
        metadata_line: payload.metadata.clone(),
        image_line: payload.image.clone(),
    })
}

/// Reads a head line and the old record in it.
pub(crate) fn decode_metadata(line: &[u8]) -> Result<(ChangeMetadata, Option<Record>)> {
    let stored: StoredMetadata = serde_json::from_slice(line).map_err(corrupt)?;
    let metadata = ChangeMetadata {
        actor: stored_fields::parse_actor(&stored.actor)?,
        address: stored.address.and_then(|text| text.parse().ok()),
        account: stored_fields::parse_id(AccountId::parse, &stored.account)?,
        project: stored.project.as_deref().map(|text| stored_fields::parse_id(ProjectId::parse, text)).transpose()?,
        subject: stored.subject,
    };
    let old = match stored.old {
        Some(old) => decode_image(&metadata.subject, old.get().as_bytes())?,
        None => None,
    };
    Ok((metadata, old))
}

/// Reads an image line; none if it is empty.
pub(crate) fn decode_image(name: &str, line: &[u8]) -> Result<Option<Record>> {
    if line.is_empty() {
        return Ok(None);
    }
    schema::decode(name, line, None).map(|(record, _)| Some(record))
}

fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> crate::error::StoreError {
    StoreErrorKind::Corrupt.with(error)
}

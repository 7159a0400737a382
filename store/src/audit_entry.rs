//! Stream entries as readers see them: actor, origin, time, old and new record without secrets.

use std::net::IpAddr;

use gatepost_domain::change::{Action, Invalidation, Propagation};
use gatepost_domain::id::{AccountId, EventId, ProjectId};
use gatepost_domain::record::{Actor, Record};
use gatepost_domain::time::Version;
use gatepost_runtime::error_chain;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::change::Change;
use crate::error::{Result, StoreErrorKind};
use crate::ops::{EntryPayload, RawEntry, Undecodable};
use crate::schema::{self, stored_fields};

/// An entry of the change stream. Its records contain neither digests nor sealed secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Position in the stream.
    pub version: Version,
    /// Event id, if it is readable.
    pub event: Option<EventId>,
    /// Decoded entry.
    pub content: std::result::Result<EntryContent, Undecodable>,
}

/// Decoded content of a stream entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryContent {
    /// Kind of change.
    pub action: Action,
    /// Cache entries that the change invalidates.
    pub invalidation: Invalidation,
    /// Whether the response may have to wait until every gateway has applied the change.
    pub propagation: Propagation,
    /// Actor, origin and subject.
    pub metadata: ChangeMetadata,
    /// The record before the change, if it existed.
    pub old: Option<Record>,
    /// The record after the change, unless it was removed.
    pub new: Option<Record>,
    /// Metadata and image, each one line of JSON, from which [`crate::FanOutEvent`] builds the delivery body.
    pub(crate) metadata_line: Vec<u8>,
    pub(crate) image_line: Vec<u8>,
}

/// Actor, origin and subject of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeMetadata {
    /// Who made the change.
    pub actor: Actor,
    /// Address of the client, if a client requested the change.
    pub address: Option<IpAddr>,
    /// Account of the subject.
    pub account: AccountId,
    /// Project of the subject, if it belongs to one.
    pub project: Option<ProjectId>,
    /// Name of the changed record: its id.
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

/// Encodes the metadata of a change as one line of JSON.
pub(crate) fn encode_metadata(change: &Change, address: Option<IpAddr>) -> Result<Vec<u8>> {
    let account = change.account().ok_or_else(|| corrupt("a change has no record"))?;
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

/// Encodes the metadata of a first use, which has no old record.
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

/// Decodes an entry. If its content cannot be decoded, the invalidation still applies.
pub(crate) fn decode(raw: RawEntry) -> AuditEntry {
    let decoded = raw.payload.and_then(|payload| {
        decode_payload(&payload).map_err(|error| Undecodable {
            invalidation: payload.invalidation.clone(),
            bytes: [payload.metadata.as_slice(), b"\n", &payload.image].concat(),
            reason: error_chain(&error),
        })
    });
    AuditEntry { version: raw.version, event: raw.event, content: decoded }
}

/// What is known of an entry before its records are decoded.
#[derive(Debug, Clone, Copy)]
pub struct ChangeSummary<'a> {
    /// The event that its webhooks receive; none for changes that are no event.
    pub event: Option<&'a EventId>,
    /// What was done.
    pub action: Action,
    /// By whom, in whose account, and to what.
    pub metadata: &'a ChangeMetadata,
}

impl AuditEntry {
    /// Returns its summary; none if it cannot be decoded.
    pub fn summary(&self) -> Option<ChangeSummary<'_>> {
        let content = self.content.as_ref().ok()?;
        Some(ChangeSummary { event: self.event.as_ref(), action: content.action, metadata: &content.metadata })
    }
}

/// Decodes an entry if it is selected.
pub(crate) fn decode_selected(raw: RawEntry, is_selected: impl Fn(ChangeSummary<'_>) -> bool) -> Option<AuditEntry> {
    let payload = raw.payload.ok()?;
    let (metadata, old) = decode_metadata_line(&payload.metadata).ok()?;
    if !is_selected(ChangeSummary { event: raw.event.as_ref(), action: payload.action, metadata: &metadata }) {
        return None;
    }
    let content = decode_records(&payload, metadata, old.as_deref()).ok()?;
    Some(AuditEntry { version: raw.version, event: raw.event, content: Ok(content) })
}

fn decode_payload(payload: &EntryPayload) -> Result<EntryContent> {
    let (metadata, old) = decode_metadata_line(&payload.metadata)?;
    decode_records(payload, metadata, old.as_deref())
}

fn decode_records(payload: &EntryPayload, metadata: ChangeMetadata, old: Option<&RawValue>) -> Result<EntryContent> {
    let old = decode_old(&metadata, old)?;
    let new = decode_image(&metadata.subject, &payload.image)?;
    Ok(EntryContent {
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

/// Decodes a metadata line and the old record in it.
pub(crate) fn decode_metadata(line: &[u8]) -> Result<(ChangeMetadata, Option<Record>)> {
    let (metadata, old) = decode_metadata_line(line)?;
    let old = decode_old(&metadata, old.as_deref())?;
    Ok((metadata, old))
}

/// Decodes a metadata line, apart from the old record in it.
fn decode_metadata_line(line: &[u8]) -> Result<(ChangeMetadata, Option<Box<RawValue>>)> {
    let stored: StoredMetadata = serde_json::from_slice(line).map_err(corrupt)?;
    let metadata = ChangeMetadata {
        actor: stored_fields::parse_actor(&stored.actor)?,
        address: stored.address.and_then(|text| text.parse().ok()),
        account: stored_fields::parse_id(AccountId::parse, &stored.account)?,
        project: stored.project.as_deref().map(|text| stored_fields::parse_id(ProjectId::parse, text)).transpose()?,
        subject: stored.subject,
    };
    Ok((metadata, stored.old))
}

fn decode_old(metadata: &ChangeMetadata, old: Option<&RawValue>) -> Result<Option<Record>> {
    old.map_or(Ok(None), |old| decode_image(&metadata.subject, old.get().as_bytes()))
}

/// Decodes an image line; `None` if it is empty.
pub(crate) fn decode_image(name: &str, line: &[u8]) -> Result<Option<Record>> {
    if line.is_empty() {
        return Ok(None);
    }
    schema::decode(name, line, None).map(|(record, _)| Some(record))
}

fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> crate::error::StoreError {
    StoreErrorKind::Corrupt.with(error)
}

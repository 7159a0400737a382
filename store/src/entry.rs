//! Entries of the stream as readers see them: who, when, what, old and new image without secrets.

use std::net::IpAddr;

use gatepost_domain::change::{Action, Fence, Scope};
use gatepost_domain::id::{AccountId, EventId, ProjectId};
use gatepost_domain::record::{Actor, Record};
use gatepost_domain::time::Version;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::act::{RawEntry, Told as RawTold, Undecodable};
use crate::change::Change;
use crate::error::{Result, StoreErrorKind};
use crate::shape::{self, parts};

/// A change as it stands in the stream. Its records carry neither digests nor sealed secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub version: Version,
    /// Its event id, if that can be read.
    pub event: Option<EventId>,
    /// What it tells.
    pub told: std::result::Result<Told, Undecodable>,
}

/// What an entry tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What the change did.
    pub action: Action,
    /// What it makes worthless in caches.
    pub scope: Scope,
    /// Whether an answer may have to wait for every gateway.
    pub fence: Fence,
    /// Who and where.
    pub head: EntryHead,
    /// The record before.
    pub old: Option<Record>,
    /// The record after.
    pub new: Option<Record>,
    /// What a delivery's body is built from: one line of JSON, for [`crate::FanOutEvent`].
    pub(crate) head_line: Vec<u8>,
    pub(crate) image_line: Vec<u8>,
}

/// Who made a change, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryHead {
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
struct StoredHead {
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
pub(crate) fn encode_head(change: &Change, address: Option<IpAddr>) -> Result<Vec<u8>> {
    let account = change.account().ok_or_else(|| corrupt("a change without a record"))?;
    let subject = change.writes.first().and_then(|write| write.new.as_ref().or(write.old.as_ref().map(|o| &o.record)));
    let old = change.writes.first().and_then(|write| write.old.as_ref());
    let head = StoredHead {
        actor: parts::actor_text(&change.actor),
        address: address.map(|address| address.to_string()),
        account: account.to_string(),
        project: change.project().map(|id| id.to_string()),
        subject: subject.map(|record| shape::name_of(record).0).unwrap_or_default(),
        old: old.map(|old| raw_image(&old.record)).transpose()?,
    };
    serde_json::to_vec(&head).map_err(corrupt)
}

/// The head of a first use, which has no old image.
pub(crate) fn encode_first_use_head(
    actor: &Actor,
    address: Option<IpAddr>,
    account: &AccountId,
    project: &ProjectId,
    subject: &str,
) -> Result<Vec<u8>> {
    let head = StoredHead {
        actor: parts::actor_text(actor),
        address: address.map(|address| address.to_string()),
        account: account.to_string(),
        project: Some(project.to_string()),
        subject: subject.to_owned(),
        old: None,
    };
    serde_json::to_vec(&head).map_err(corrupt)
}

fn raw_image(record: &Record) -> Result<Box<RawValue>> {
    serde_json::from_slice(&shape::stream_image(record)?).map_err(corrupt)
}

/// An entry from its fields. What cannot be read becomes undecodable; its scope still counts.
pub(crate) fn decode(raw: RawEntry) -> Entry {
    let told = raw.told.and_then(|told| {
        decode_told(&told).map_err(|error| Undecodable {
            scope: told.scope.clone(),
            bytes: [told.head.as_slice(), b"\n", &told.image].concat(),
            reason: error.to_string(),
        })
    });
    Entry { version: raw.version, event: raw.event, told }
}

fn decode_told(told: &RawTold) -> Result<Told> {
    let (head, old) = decode_head(&told.head)?;
    let new = decode_image(&head.subject, &told.image)?;
    Ok(Told {
        action: told.action,
        scope: told.scope.clone(),
        fence: told.fence,
        head,
        old,
        new,
        head_line: told.head.clone(),
        image_line: told.image.clone(),
    })
}

/// Reads a head line and the old record in it.
pub(crate) fn decode_head(line: &[u8]) -> Result<(EntryHead, Option<Record>)> {
    let stored: StoredHead = serde_json::from_slice(line).map_err(corrupt)?;
    let head = EntryHead {
        actor: parts::parse_actor(&stored.actor)?,
        address: stored.address.and_then(|text| text.parse().ok()),
        account: parts::id(AccountId::parse, &stored.account)?,
        project: stored.project.as_deref().map(|text| parts::id(ProjectId::parse, text)).transpose()?,
        subject: stored.subject,
    };
    let old = match stored.old {
        Some(old) => decode_image(&head.subject, old.get().as_bytes())?,
        None => None,
    };
    Ok((head, old))
}

/// Reads an image line; none if it is empty.
pub(crate) fn decode_image(name: &str, line: &[u8]) -> Result<Option<Record>> {
    if line.is_empty() {
        return Ok(None);
    }
    shape::decode(name, line, None).map(|(record, _)| Some(record))
}

fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> crate::error::StoreError {
    StoreErrorKind::Corrupt.with(error)
}

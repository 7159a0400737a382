//! Stream entries of the embedded store: encoding, decoding, appending.

use gatepost_domain::change::{Action, Invalidation, Propagation};
use gatepost_domain::id::EventId;
use gatepost_domain::time::{Timestamp, Version};
use gatepost_runtime::error_chain;
use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::errors::store_error;
use super::meta::{read_number, set_number};
use super::tables::{META, STREAM};
use crate::copied_entry::CopiedChange;
use crate::error::{Result, StoreErrorKind};
use crate::ops::{EntryPayload, RawEntry, Undecodable};
use crate::record_format::{decode_invalidation, encode_invalidation};

/// A stream entry as stored. Invalidation and propagation are separate from the images: a process that cannot decode
/// an image still applies them.
#[derive(Serialize, Deserialize)]
struct StoredEntry {
    v: u8,
    event: String,
    scope: String,
    scope_data: Vec<u8>,
    fence: bool,
    action: String,
    head: String,
    image: String,
}

/// The part of a stored entry that every version of the program can read.
#[derive(Deserialize)]
struct StoredInvalidation {
    event: Option<String>,
    scope: String,
    scope_data: Vec<u8>,
}

/// Why a stream entry cannot be decoded.
#[derive(Debug, thiserror::Error)]
enum DecodeEntryError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("the entry has format {0}, this program reads {ENTRY_FORMAT}")]
    Format(u8),
    #[error("unknown action: {0}")]
    Action(String),
    #[error("its invalidation cannot be decoded")]
    Invalidation,
}

/// Format number of the stream entries that this version writes.
const ENTRY_FORMAT: u8 = 1;

/// Appends an entry and returns its position.
pub(super) fn append(
    transaction: &WriteTransaction,
    event: &EventId,
    payload: &EntryPayload,
    now: Timestamp,
) -> Result<Version> {
    let mut meta = transaction.open_table(META).map_err(store_error)?;
    let version = Version::from_u64(read_number(&meta, "last")?).next(now);
    let bytes = encode(event, payload)?;
    let mut stream = transaction.open_table(STREAM).map_err(store_error)?;
    stream.insert(version.as_u64(), bytes.as_slice()).map_err(store_error)?;
    let entries = read_number(&meta, "entries")?;
    set_number(&mut meta, "last", version.as_u64())?;
    set_number(&mut meta, "entries", entries + 1)?;
    Ok(version)
}

pub(crate) fn encode(event: &EventId, payload: &EntryPayload) -> Result<Vec<u8>> {
    let (invalidation, invalidation_data) = encode_invalidation(&payload.invalidation);
    let stored = StoredEntry {
        v: ENTRY_FORMAT,
        event: event.to_string(),
        scope: invalidation.to_owned(),
        scope_data: invalidation_data,
        fence: payload.propagation == Propagation::Fenced,
        action: payload.action.as_str().to_owned(),
        head: utf8_text(&payload.metadata)?,
        image: utf8_text(&payload.image)?,
    };
    serde_json::to_vec(&stored).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

/// Returns an entry as stored, for a copy to another store.
pub(super) fn to_copied(version: Version, bytes: &[u8]) -> Result<CopiedChange> {
    let stored: StoredEntry = serde_json::from_slice(bytes).map_err(|error| {
        StoreErrorKind::Corrupt.with_context(format!("the stream entry {version} is unknown"), error)
    })?;
    let StoredEntry { v, event, scope, scope_data, fence, action, head, image } = stored;
    Ok(CopiedChange { version, format: v, event, action, scope, scope_data, is_fenced: fence, head, image })
}

/// Encodes an entry of another store.
pub(super) fn from_copied(change: &CopiedChange) -> Result<Vec<u8>> {
    let CopiedChange { version: _, format, event, action, scope, scope_data, is_fenced, head, image } = change.clone();
    let stored = StoredEntry { v: format, event, scope, scope_data, fence: is_fenced, action, head, image };
    serde_json::to_vec(&stored).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

/// Decodes an entry. If that fails, the result contains its invalidation as far as it is readable.
pub(crate) fn decode(version: Version, bytes: &[u8]) -> RawEntry {
    let stored: Option<StoredInvalidation> = serde_json::from_slice(bytes).ok();
    let event = stored.as_ref().and_then(|stored| EventId::parse(stored.event.as_deref()?).ok());
    let payload = decode_payload(bytes).map_err(|error| Undecodable {
        invalidation: stored
            .and_then(|stored| decode_invalidation(&stored.scope, &stored.scope_data))
            .unwrap_or(Invalidation::All),
        bytes: bytes.to_vec(),
        reason: error_chain(&error),
    });
    RawEntry { version, event, payload }
}

fn decode_payload(bytes: &[u8]) -> std::result::Result<EntryPayload, DecodeEntryError> {
    let stored: StoredEntry = serde_json::from_slice(bytes)?;
    if stored.v != ENTRY_FORMAT {
        return Err(DecodeEntryError::Format(stored.v));
    }
    Ok(EntryPayload {
        action: Action::parse(&stored.action).ok_or(DecodeEntryError::Action(stored.action))?,
        invalidation: decode_invalidation(&stored.scope, &stored.scope_data).ok_or(DecodeEntryError::Invalidation)?,
        propagation: if stored.fence { Propagation::Fenced } else { Propagation::Relaxed },
        metadata: stored.head.into_bytes(),
        image: stored.image.into_bytes(),
    })
}

/// Returns the event id of the entry at a position; `Some(None)` if it is unreadable, `None` if there is no entry.
pub(super) fn event_at(
    stream: &impl ReadableTable<u64, &'static [u8]>,
    version: Version,
) -> Result<Option<Option<EventId>>> {
    let bytes = stream.get(version.as_u64()).map_err(store_error)?;
    Ok(bytes.map(|bytes| decode(version, bytes.value()).event))
}

fn utf8_text(line: &[u8]) -> Result<String> {
    String::from_utf8(line.to_vec()).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepost_domain::digest::Digest;

    #[test]
    fn stored_entry_format_is_stable_and_decodes() {
        let event = EventId::parse("evt_00event").unwrap();
        let payload = EntryPayload {
            action: Action::ApiKeyDeleted,
            invalidation: Invalidation::Digests(vec![Digest::from_bytes([1; 32])]),
            propagation: Propagation::Fenced,
            metadata: b"{\"a\":1}".to_vec(),
            image: b"{}".to_vec(),
        };
        let bytes = encode(&event, &payload).unwrap();
        insta::assert_snapshot!("embedded_entry", String::from_utf8(bytes.clone()).unwrap());
        let read = decode(Version::from_u64(1), &bytes);
        assert_eq!((read.event, read.payload), (Some(event), Ok(payload)));
    }

    #[test]
    fn entry_of_a_later_format_still_yields_its_invalidation() {
        let bytes = br#"{"v":2,"event":"evt_00event","scope":"all","scope_data":[],"new":true}"#;
        let Err(undecodable) = decode(Version::from_u64(1), bytes).payload else { panic!("it was decoded") };
        assert_eq!(undecodable.invalidation, Invalidation::All);
        let bytes = br#"{"v":2,"scope":"none","scope_data":[]}"#;
        let Err(undecodable) = decode(Version::from_u64(1), bytes).payload else { panic!("it was decoded") };
        assert_eq!(undecodable.invalidation, Invalidation::None);
        let Err(undecodable) = decode(Version::from_u64(1), b"garbage").payload else { panic!("it was decoded") };
        assert_eq!(undecodable.invalidation, Invalidation::All);
    }
}

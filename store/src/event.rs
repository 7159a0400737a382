//! Events as their deliveries carry them: one line of JSON, independent of the stream.

use gatepost_domain::change::Action;
use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::record::Record;
use gatepost_domain::time::{Timestamp, Version};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::audit_entry::{self, ChangeMetadata, EntryContent};
use crate::error::{Result, StoreErrorKind};
use crate::ops::RawEvent;

/// An event and its subscribed webhooks.
#[derive(Debug, Clone)]
pub struct FanOutEvent {
    /// Event id.
    pub event: EventId,
    /// Position of the entry.
    pub version: Version,
    /// Decoded entry.
    pub content: EntryContent,
    /// Subscribed webhooks; empty if there are none.
    pub webhooks: Vec<WebhookId>,
}

/// An event as its deliveries need it, independent of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Event id, sent as `webhook-id`.
    pub id: EventId,
    /// Kind of change.
    pub action: Action,
    /// Version of its entry in the stream.
    pub version: Version,
    /// Time of the change, on the store's clock.
    pub at: Timestamp,
    /// Actor and origin.
    pub metadata: ChangeMetadata,
    /// The record after the change, or its last state if it was removed.
    pub record: Record,
    has_new_value: bool,
}

impl Event {
    /// Returns the mask of the key value that the change created; `None` if it created none.
    pub fn mask_of_new_value(&self) -> Option<&str> {
        mask(&self.record).filter(|_| self.has_new_value)
    }
}

/// Returns whether a change created the value of a key: a new key has one, and a rotated one has another mask.
fn creates_value(action: Action, old: Option<&Record>, new: Option<&Record>) -> bool {
    let is_created = matches!(action, Action::ApiKeyCreated | Action::AccessKeyCreated);
    let is_updated = matches!(action, Action::ApiKeyUpdated | Action::AccessKeyUpdated);
    is_created || (is_updated && old.and_then(mask) != new.and_then(mask))
}

fn mask(record: &Record) -> Option<&str> {
    match record {
        Record::ApiKey(key) => Some(&key.mask),
        Record::AccessKey(key) => Some(&key.mask),
        Record::Account(_) | Record::Project(_) | Record::Webhook(_) => None,
    }
}

#[derive(Serialize, Deserialize)]
struct StoredEvent<'a> {
    action: String,
    version: u64,
    #[serde(borrow)]
    head: &'a RawValue,
    #[serde(borrow, default)]
    image: Option<&'a RawValue>,
}

/// Encodes an event for its deliveries, which must not depend on the stream.
pub(crate) fn encode_event(event: &FanOutEvent) -> Result<RawEvent> {
    let body = encode_content(&event.content, event.version)?;
    Ok(RawEvent { event: event.event.clone(), body, webhooks: event.webhooks.clone() })
}

/// Encodes the content of an entry as the body of its event's deliveries.
pub(crate) fn encode_content(content: &EntryContent, version: Version) -> Result<Vec<u8>> {
    let corrupt = |error| StoreErrorKind::Corrupt.with(error);
    let line = |bytes: &'_ [u8]| -> Result<Option<Box<RawValue>>> {
        if bytes.is_empty() { Ok(None) } else { serde_json::from_slice(bytes).map(Some).map_err(corrupt) }
    };
    let metadata = line(&content.metadata_line)?;
    let metadata = metadata.ok_or_else(|| StoreErrorKind::Corrupt.with("an entry has no metadata"))?;
    let image = line(&content.image_line)?;
    let stored = StoredEvent {
        action: content.action.as_str().to_owned(),
        version: version.as_u64(),
        head: &metadata,
        image: image.as_deref(),
    };
    serde_json::to_vec(&stored).map_err(corrupt)
}

/// Returns the kind of change of an event's body, if it is known, and its version; `None` if it cannot be decoded.
pub(crate) fn event_head(body: &[u8]) -> Option<(Option<Action>, Version)> {
    let stored: StoredEvent<'_> = serde_json::from_slice(body).ok()?;
    Some((Action::parse(&stored.action), Version::from_u64(stored.version)))
}

pub(crate) fn decode_event(id: &EventId, body: &[u8]) -> Result<Event> {
    let stored: StoredEvent<'_> = serde_json::from_slice(body).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    let (metadata, old) = audit_entry::decode_metadata(stored.head.get().as_bytes())?;
    let new =
        stored.image.map(|image| audit_entry::decode_image(&metadata.subject, image.get().as_bytes())).transpose()?;
    let new = new.flatten();
    let action = Action::parse(&stored.action).ok_or_else(|| {
        StoreErrorKind::Corrupt.with(format!("event {id} has the unknown action {:?}", stored.action))
    })?;
    let has_new_value = creates_value(action, old.as_ref(), new.as_ref());
    let record = new.or(old).ok_or_else(|| StoreErrorKind::Corrupt.with(format!("event {id} has no image")))?;
    let version = Version::from_u64(stored.version);
    Ok(Event { id: id.clone(), action, version, at: version.timestamp(), metadata, record, has_new_value })
}

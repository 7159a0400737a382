//! The invalidation feed: what the changes of a cell invalidate in the caches of gateways.

use std::time::Duration;

use gatepost_domain::change::{Invalidation, Propagation};
use gatepost_domain::id::EventId;
use gatepost_domain::record::{Record, Status};
use gatepost_domain::time::Version;

use crate::audit_entry::{self, AuditEntry};
use crate::cell_store::CellStore;
use crate::error::Result;
use crate::ops::{CursorCheck, RawEntry};

/// Reader of what the changes of a cell invalidate, in their order.
#[derive(Debug, Clone, Copy)]
pub struct InvalidationFeed<'a>(&'a CellStore);

/// Result of reading an [`InvalidationFeed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidationBatch {
    /// Entries after the cursor, oldest first.
    pub entries: Vec<InvalidationEntry>,
    /// State of the entry at the cursor: whether the entries continue what was read up to it.
    pub cursor_check: CursorCheck,
}

/// What one change invalidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidationEntry {
    /// Position in the stream.
    pub version: Version,
    /// Event id, if it is readable.
    pub event: Option<EventId>,
    /// Cache entries that the change invalidates. That is known even if the rest cannot be decoded.
    pub invalidation: Invalidation,
    /// Whether a response may wait until every gateway has applied the change; a change that cannot be decoded is fenced.
    pub propagation: Propagation,
    /// Status of the key or project after the change; `None` if the change is of another record, or cannot be decoded.
    pub status: Option<Status>,
}

impl CellStore {
    /// Returns the feed of what the cell's changes invalidate.
    pub fn invalidation_feed(&self) -> InvalidationFeed<'_> {
        InvalidationFeed(self)
    }
}

impl InvalidationFeed<'_> {
    /// Reads up to `limit` entries after `cursor`, whose event id is `event` if an entry was read there. Waits up to
    /// `wait` (at most 500 ms) for the first.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn read(
        &self,
        cursor: Version,
        event: Option<EventId>,
        limit: u32,
        wait: Duration,
    ) -> Result<InvalidationBatch> {
        let raw = self.0.backend.feed(cursor, event, limit, wait).await?;
        let entries = raw.entries.into_iter().map(decode).collect();
        Ok(InvalidationBatch { entries, cursor_check: raw.cursor_check })
    }
}

fn decode(raw: RawEntry) -> InvalidationEntry {
    let AuditEntry { version, event, content } = audit_entry::decode(raw);
    match content {
        Ok(content) => InvalidationEntry {
            version,
            event,
            invalidation: content.invalidation,
            propagation: content.propagation,
            status: content.new.as_ref().and_then(status_of),
        },
        Err(undecodable) => InvalidationEntry {
            version,
            event,
            invalidation: undecodable.invalidation,
            propagation: Propagation::Fenced,
            status: None,
        },
    }
}

fn status_of(record: &Record) -> Option<Status> {
    match record {
        Record::ApiKey(key) => Some(key.status),
        Record::Project(project) => Some(project.status),
        Record::Account(_) | Record::AccessKey(_) | Record::Webhook(_) => None,
    }
}

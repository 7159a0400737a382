//! The invalidation feed: what the changes of a cell invalidate in the caches of gateways.

use std::time::Duration;

use gatepost_domain::change::Propagation;
use gatepost_domain::record::{Record, Status};

use crate::audit_entry::{self, AuditEntry};
use crate::cell_store::CellStore;
use crate::error::Result;
use crate::ops::{CursorCheck, FeedCheck, FeedCursor, FeedStream, InvalidationBatch, InvalidationEntry, RawEntry};

/// Reader of what the changes of a cell invalidate, in their order.
#[derive(Debug, Clone, Copy)]
pub struct InvalidationFeed<'a>(&'a CellStore);

impl CellStore {
    /// Returns the feed of what the cell's changes invalidate.
    pub fn invalidation_feed(&self) -> InvalidationFeed<'_> {
        InvalidationFeed(self)
    }
}

impl InvalidationFeed<'_> {
    /// Reads up to `limit` entries after a cursor. Waits up to `wait` (at most 2 s) for the first.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn read(&self, cursor: &FeedCursor, limit: u32, wait: Duration) -> Result<InvalidationBatch> {
        match cursor.stream {
            FeedStream::Invalidations => self.0.backend.invalidations(cursor.clone(), limit, wait).await,
            FeedStream::Changes => {
                let raw = self.0.backend.feed(cursor.version, cursor.event.clone(), limit, wait).await?;
                let entries = raw.entries.into_iter().map(decode).collect();
                let CursorCheck { state, trimmed_through, .. } = raw.cursor_check;
                Ok(InvalidationBatch { entries, cursor_check: FeedCheck { state, trimmed_through, end: raw.end } })
            }
        }
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

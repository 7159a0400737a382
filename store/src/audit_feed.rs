//! The audit feed: all changes of a cell with their records, for the deliverer and for people.

use std::time::Duration;

use gatepost_domain::time::Version;

use crate::audit_entry::{self, AuditEntry, ChangeSummary};
use crate::cell_store::CellStore;
use crate::error::Result;
use crate::ops::{CursorCheck, RawFeed};

/// Reader of the changes of a cell, whole and in their order.
#[derive(Debug, Clone, Copy)]
pub struct AuditFeed<'a>(&'a CellStore);

/// Result of reading an [`AuditFeed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditBatch {
    /// Entries after the cursor, oldest first; or before it, newest first.
    pub entries: Vec<AuditEntry>,
    /// State of the entry at the cursor: whether the entries continue what was read up to it.
    pub cursor_check: CursorCheck,
}

/// Result of searching an [`AuditFeed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchedBatch {
    /// The selected entries, newest first.
    pub selected: Vec<AuditEntry>,
    /// Number of entries that were read, selected or not.
    pub read: usize,
    /// Version of the oldest of them.
    pub oldest: Option<Version>,
    /// State of the entry at the cursor, as in [`AuditBatch`].
    pub cursor_check: CursorCheck,
}

impl CellStore {
    /// Returns the feed of the cell's changes.
    pub fn audit_feed(&self) -> AuditFeed<'_> {
        AuditFeed(self)
    }
}

impl AuditFeed<'_> {
    /// Reads up to `limit` entries after `cursor`. Waits up to `wait` (at most 2 s) for the first.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn read(&self, cursor: Version, limit: u32, wait: Duration) -> Result<AuditBatch> {
        self.0.backend.feed(cursor, None, limit, wait).await.map(decode)
    }

    /// Reads up to `limit` entries before `cursor`, newest first; the newest of all if `cursor` is [`Version::MAX`].
    /// Returns those that `is_selected` selects. Only their records are decoded, which is most of the work; entries that
    /// cannot be decoded are left out.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn search_backwards(
        &self,
        cursor: Version,
        limit: u32,
        is_selected: impl Fn(ChangeSummary<'_>) -> bool,
    ) -> Result<SearchedBatch> {
        let RawFeed { entries, cursor_check, .. } = self.0.backend.feed_backwards(cursor, limit).await?;
        let (read, oldest) = (entries.len(), entries.last().map(|entry| entry.version));
        let selected = entries.into_iter().filter_map(|entry| audit_entry::decode_selected(entry, &is_selected));
        Ok(SearchedBatch { selected: selected.collect(), read, oldest, cursor_check })
    }
}

fn decode(raw: RawFeed) -> AuditBatch {
    AuditBatch { entries: raw.entries.into_iter().map(audit_entry::decode).collect(), cursor_check: raw.cursor_check }
}

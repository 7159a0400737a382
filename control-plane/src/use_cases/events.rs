//! The changes in the stream, as far as a caller sees them.

use std::time::Duration;

use gatepost_domain::id::EventId;
use gatepost_domain::partition::{Cell, Position};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::time::{Timestamp, Version};
use gatepost_store::{AuditBatch, AuditEntry, CursorCheck, CursorState, EntryContent};

use super::event_cursor::EventCursor;
use super::event_filter::EventFilter;
use super::pagination::Rest;
use super::scan_time::ScanTime;
use crate::caller::Caller;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::fair_share::FairSharePermit;
use crate::request_context::RequestContext;

/// Time that a stream waits for a permit.
const STREAM_PERMIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Changes in one response, at most and by default.
pub const MAX_CHANGES: usize = 1000;
pub const DEFAULT_CHANGES: usize = 100;
/// Stream entries that are read at a time.
pub(super) const ENTRIES_PER_READ: u32 = 200;
/// Stream entries that are read for one response. If all are changes of others, it only has the next cursor.
const MAX_ENTRIES_READ: usize = 10_000;

/// How much a page of changes may have, and may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeLimits {
    /// Changes in the page.
    pub changes: usize,
    /// Entries of the stream that are read for it.
    pub entries: usize,
    /// Time that is spent on reading them.
    pub time: ScanTime,
}

impl ChangeLimits {
    /// Returns the limits of a response for which a caller asked for so many changes.
    pub fn of_page(changes: usize) -> Self {
        Self { changes, entries: MAX_ENTRIES_READ, time: ScanTime::Unlimited }
    }
}

/// A change that a caller sees.
#[derive(Debug)]
pub struct VisibleChange {
    pub version: Version,
    pub event: EventId,
    pub content: EntryContent,
}

/// Changes in order, and how to go on.
#[derive(Debug)]
pub struct ChangePage {
    pub changes: Vec<VisibleChange>,
    /// The cursor from which the next page continues.
    pub next: EventCursor,
    pub continuity: Continuity,
    pub rest: Rest,
    /// Entries of the stream that were read for this page.
    pub searched: usize,
}

/// Continuity of a page with what was read up to the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// No change is missing.
    Unbroken,
    /// Changes after the cursor have been trimmed.
    Trimmed,
    /// There is no change at the cursor: it is not from this store, or the store has lost it.
    Unknown,
}

impl ChangePage {
    pub(super) fn starting_at(cursor: &EventCursor) -> Self {
        let (changes, next) = (Vec::new(), cursor.clone());
        Self { changes, next, continuity: Continuity::Unbroken, rest: Rest::More, searched: 0 }
    }
}

impl VisibleChange {
    /// Returns its cursor, after which the list continues.
    pub fn cursor(&self) -> EventCursor {
        EventCursor::at(self.version)
    }

    /// Returns its position, which gateways reach.
    pub fn position(&self) -> Position {
        Position { cell: Cell::FIRST, version: self.version }
    }
}

impl ControlPlane {
    /// Returns changes after a cursor, oldest first.
    pub async fn changes(
        &self,
        context: &RequestContext,
        filter: &EventFilter,
        after: &EventCursor,
        limit: usize,
    ) -> Result<ChangePage> {
        let mut page = ChangePage::starting_at(after);
        while page.changes.len() < limit && page.searched < MAX_ENTRIES_READ {
            let _turn = self.acquire_list_permit(context).await?;
            let feed = self.store.single_cell().audit_feed();
            let AuditBatch { entries, cursor_check } =
                feed.read(page.next.version(), ENTRIES_PER_READ, Duration::ZERO).await?;
            if page.searched == 0 {
                page.continuity = continuity(after, cursor_check);
            }
            page.searched += entries.len();
            let is_last = entries.len() < ENTRIES_PER_READ as usize;
            let mut is_full = false;
            for entry in entries {
                page.next = EventCursor::at(entry.version);
                page.changes.extend(visible_change(&context.caller, filter, entry));
                is_full = page.changes.len() >= limit;
                if is_full {
                    break;
                }
            }
            if is_last && !is_full {
                page.rest = Rest::Nothing;
                break;
            }
        }
        Ok(page)
    }

    /// Returns the change at a cursor.
    ///
    /// # Errors
    /// `not-found` if there is none, if it has been trimmed, or if the caller does not see it.
    pub async fn change_at(&self, context: &RequestContext, cursor: &EventCursor) -> Result<VisibleChange> {
        let before = Version::from_u64(cursor.version().as_u64().saturating_sub(1));
        let feed = self.store.single_cell().audit_feed();
        let entries = feed.read(before, 1, Duration::ZERO).await?.entries;
        let found = entries.into_iter().find(|entry| entry.version == cursor.version());
        let change = found.and_then(|entry| visible_change(&context.caller, &EventFilter::default(), entry));
        change.ok_or_else(|| Failure::refused(ErrorCode::NotFound, "there is no such change, or it is no longer kept"))
    }

    /// Returns the next changes after a cursor, and the cursor that they end at. Waits 500 ms for the first.
    pub async fn wait_for_changes(
        &self,
        context: &RequestContext,
        filter: &EventFilter,
        after: &EventCursor,
    ) -> Result<(Vec<VisibleChange>, EventCursor, Continuity)> {
        let feed = self.store.single_cell().audit_feed();
        let AuditBatch { entries, cursor_check } = feed.read(after.version(), ENTRIES_PER_READ, FEED_WAIT).await?;
        let next = entries.last().map_or_else(|| after.clone(), |entry| EventCursor::at(entry.version));
        let visible = entries.into_iter().filter_map(|entry| visible_change(&context.caller, filter, entry));
        Ok((visible.collect(), next, continuity(after, cursor_check)))
    }

    /// Returns the cursor of the newest change.
    pub async fn newest_cursor(&self) -> Result<EventCursor> {
        Ok(EventCursor::at(self.store.single_cell().last_position().await?))
    }

    /// Returns the cursor before the changes since a time, on the store's clock; at the latest that of the newest change.
    pub async fn cursor_since(&self, time: Timestamp) -> Result<EventCursor> {
        let (before, newest) = (EventCursor::before(time), self.newest_cursor().await?);
        Ok(if before.version() < newest.version() { before } else { newest })
    }

    /// Waits up to a second for a permit to stream events.
    ///
    /// # Errors
    /// `overloaded` if there is none.
    pub async fn acquire_event_stream(&self, context: &RequestContext) -> Result<FairSharePermit> {
        let permit = self.limits.event_streams.acquire(&context.caller.account, STREAM_PERMIT_TIMEOUT).await;
        permit.ok_or_else(|| {
            self.metrics.count_no_permit("streams");
            let detail = "the account already has as many event streams as it may have now";
            Failure::refused(ErrorCode::Overloaded, detail)
        })
    }

    /// Waits up to a second for a permit to stream what a page shows. Pages and event streams take no permits from each
    /// other.
    ///
    /// # Errors
    /// `overloaded` if there is none.
    pub async fn acquire_page_stream(&self, context: &RequestContext) -> Result<FairSharePermit> {
        let permit = self.limits.page_streams.acquire(&context.caller.account, STREAM_PERMIT_TIMEOUT).await;
        permit.ok_or_else(|| {
            self.metrics.count_no_permit("pages");
            let detail = "the account already has as many pages that follow what they show as it may have now";
            Failure::refused(ErrorCode::Overloaded, detail)
        })
    }
}

/// Time that a read of the feed waits for an entry.
const FEED_WAIT: Duration = Duration::from_millis(500);

/// Returns the continuity at a cursor. Readers that begin at the start, or at the end, miss nothing.
pub(super) fn continuity(cursor: &EventCursor, cursor_check: CursorCheck) -> Continuity {
    let after = cursor.version();
    match cursor_check.state {
        _ if after == Version::ZERO || after == Version::MAX => Continuity::Unbroken,
        CursorState::Present => Continuity::Unbroken,
        CursorState::Trimmed if after == cursor_check.trimmed_through => Continuity::Unbroken,
        CursorState::Trimmed => Continuity::Trimmed,
        CursorState::Diverged if cursor.is_at_change() => Continuity::Unknown,
        CursorState::Diverged => Continuity::Unbroken,
    }
}

/// Returns the change of an entry if the caller sees it and selects it. Entries that cannot be decoded are in quarantine.
pub(super) fn visible_change(caller: &Caller, filter: &EventFilter, entry: AuditEntry) -> Option<VisibleChange> {
    let is_selected = filter.matches(caller, entry.summary()?);
    let (content, event) = (entry.content.ok()?, entry.event?);
    let has_record = content.old.is_some() || content.new.is_some();
    (is_selected && has_record).then_some(VisibleChange { version: entry.version, event, content })
}

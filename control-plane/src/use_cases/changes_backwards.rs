//! Changes newest first, and of one resource without those after its last one and before its creation.

use gatepost_domain::id::{KeyId, ProjectId, WebhookId};
use gatepost_domain::time::{Timestamp, Version};
use gatepost_store::{ChangeSummary, SearchedBatch, Versioned};

use super::api_keys::KeyRef;
use super::event_cursor::EventCursor;
use super::event_filter::EventFilter;
use super::events::{ChangeLimits, ChangePage, ENTRIES_PER_READ, continuity, visible_change};
use super::pagination::Rest;
use crate::caller::Caller;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

/// Stream entries of the smallest read.
const MIN_ENTRIES_PER_READ: u32 = 20;

/// A page of changes while it is read.
struct BackwardPage<'a> {
    caller: &'a Caller,
    filter: &'a EventFilter,
    oldest: Version,
    limits: ChangeLimits,
    /// Where the next read begins.
    before: Version,
    page: ChangePage,
}

/// What is left of a page.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Going,
    /// It is full, or nothing more is to be read.
    Complete,
}

impl BackwardPage<'_> {
    /// Returns how many entries to read next: first enough for a page without a filter, and never more than are left.
    fn read_size(&self) -> u32 {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let size = match self.page.searched {
            0 => number(self.limits.changes).clamp(MIN_ENTRIES_PER_READ, ENTRIES_PER_READ),
            _ => ENTRIES_PER_READ,
        };
        size.min(number(self.limits.entries.saturating_sub(self.page.searched)))
    }

    fn is_selected(&self, change: ChangeSummary<'_>) -> bool {
        self.filter.matches(self.caller, change) || self.filter.is_first(self.caller, change)
    }

    /// Adds the entries that were selected of a read.
    fn add(&mut self, batch: SearchedBatch, read_size: u32) -> Progress {
        let is_last = batch.read < read_size as usize;
        self.page.searched += batch.read;
        for entry in batch.selected {
            if entry.version < self.oldest {
                break;
            }
            self.page.next = EventCursor::at(entry.version);
            let is_first = entry.summary().is_some_and(|change| self.filter.is_first(self.caller, change));
            self.page.changes.extend(visible_change(self.caller, self.filter, entry));
            if is_first {
                self.page.rest = Rest::Nothing;
                return Progress::Complete;
            }
            if self.page.changes.len() >= self.limits.changes {
                return Progress::Complete;
            }
        }
        if let Some(oldest) = batch.oldest {
            self.before = oldest;
            if oldest >= self.oldest {
                self.page.next = EventCursor::at(oldest);
            }
        }
        if is_last || self.before < self.oldest {
            self.page.rest = Rest::Nothing;
        }
        match self.page.rest == Rest::Nothing || self.page.searched >= self.limits.entries {
            true => Progress::Complete,
            false => Progress::Going,
        }
    }
}

impl ControlPlane {
    /// Returns changes before a cursor, newest first, none of them older than `since`. A page that ends because of the
    /// entries that were read, or of the time, may have fewer changes than its limit, or none.
    pub async fn changes_backwards(
        &self,
        context: &RequestContext,
        filter: &EventFilter,
        before: &EventCursor,
        since: Option<Timestamp>,
        limits: ChangeLimits,
    ) -> Result<ChangePage> {
        let deadline = self.scan_deadline(limits.time);
        let oldest = since.map_or(Version::ZERO, |time| Version::from_parts(time.as_ms(), 0));
        let start = self.end_of_selected(context, filter, before).await?;
        let page = ChangePage::starting_at(before);
        let mut reading = BackwardPage { caller: &context.caller, filter, oldest, limits, before: start, page };
        let mut progress = if limits.changes == 0 { Progress::Complete } else { Progress::Going };
        while progress == Progress::Going {
            let _turn = self.acquire_list_permit(context).await?;
            let (feed, size) = (self.store.single_cell().audit_feed(), reading.read_size());
            let batch = feed.search_backwards(reading.before, size, |change| reading.is_selected(change)).await?;
            if reading.page.searched == 0 {
                reading.page.continuity = continuity(before, batch.cursor_check);
            }
            progress = reading.add(batch, size);
            if deadline.has_passed(self.clock.uptime()) {
                break;
            }
        }
        Ok(reading.page)
    }

    /// Returns the version before which to read. Entries after the last change of the only selected resource are passed
    /// over, as many as they may be.
    async fn end_of_selected(
        &self,
        context: &RequestContext,
        filter: &EventFilter,
        before: &EventCursor,
    ) -> Result<Version> {
        let last = match &filter.subject {
            Some(subject) if *before == EventCursor::END => self.last_change_of(context, subject).await?,
            Some(_) | None => None,
        };
        Ok(last.map_or(before.version(), |last| Version::from_u64(last.as_u64().saturating_add(1))))
    }

    /// Returns a version that no change of a resource is later than; none if the caller does not see the resource, or it
    /// was removed.
    async fn last_change_of(&self, context: &RequestContext, subject: &str) -> Result<Option<Version>> {
        let found = if let Ok(id) = KeyId::parse(subject) {
            self.api_key(context, &KeyRef::Id(id)).await.map(|found| last_change(&found))
        } else if ProjectId::parse(subject).is_ok() {
            self.project(context, subject).await.map(|found| last_change(&found))
        } else if WebhookId::parse(subject).is_ok() {
            self.webhook(context, subject).await.map(|found| last_change(&found))
        } else {
            return Ok(None);
        };
        match found {
            Ok(version) => Ok(Some(version)),
            Err(Failure::Refused(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Returns the version of the last change of a record. The first use of a key changes no record: it is known by its
/// millisecond, of which this is the end.
fn last_change<T>(found: &Versioned<T>) -> Version {
    let end_of = |time: Timestamp| {
        let next = Version::from_parts(time.as_ms().saturating_add(1), 0);
        Version::from_u64(next.as_u64().saturating_sub(1))
    };
    found.first_used_at.map_or(found.position.version, |first_use| found.position.version.max(end_of(first_use)))
}

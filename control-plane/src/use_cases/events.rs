//! Changes, for people: read from the stream as gateways and deliverers read it, as far as the caller sees them.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::ProjectId;
use gatepost_domain::time::Version;
use gatepost_store::ops::{CursorCheck, CursorState};
use gatepost_store::{ChangeMetadata, StreamEntry};
use gatepost_wire::{ChangeBody, ChangeView, change_body, event_type};

use crate::ControlPlane;
use crate::caller::{Caller, Visibility};
use crate::failure::{Failure, Result};

/// Streams of events at a time in one process.
pub(crate) const MAX_STREAMS: usize = 64;
/// How long one waits for its turn.
pub(crate) const STREAM_PERMIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Changes that one answer tells at most, and how many it tells unless it was asked for fewer.
pub(crate) const MAX_CHANGES: usize = 1000;
pub(crate) const DEFAULT_CHANGES: usize = 100;
/// Entries of the stream that are read at a time.
const ENTRIES_PER_READ: u32 = 200;
/// Entries that are read for one answer: of what others did, the caller is told nothing but the next cursor.
const MAX_ENTRIES_READ: usize = 10_000;

/// Which changes are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventFilter {
    pub(crate) kind: Option<String>,
    pub(crate) project: Option<ProjectId>,
}

/// Changes in order, and how to go on.
#[derive(Debug)]
pub(crate) struct ChangePage {
    pub(crate) changes: Vec<ChangeBody>,
    pub(crate) next: Version,
    pub(crate) continuity: Continuity,
    pub(crate) rest: Rest,
}

/// Whether an answer continues what was read up to the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// Nothing lies in between.
    Unbroken,
    /// Changes after the cursor have been trimmed meanwhile.
    Trimmed,
    /// There is no change at the cursor: it is not one of this store, or the store has lost it.
    Unknown,
}

/// Whether there is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    More,
    None,
}

impl EventFilter {
    /// What a request asks for; a project must be in sight.
    pub(crate) async fn parse(
        control_plane: &ControlPlane,
        caller: &Caller,
        kind: Option<String>,
        project: Option<&str>,
    ) -> Result<Self> {
        if let Some(kind) = &kind
            && !Action::ALL.iter().any(|action| event_type(*action) == kind || action.as_str() == kind)
        {
            let mut known: Vec<&str> = Action::ALL.iter().map(|action| event_type(*action)).collect();
            known.dedup();
            return Err(Failure::invalid(format!("type: {kind:?} is not known; known are {}", known.join(", "))));
        }
        let project = match project {
            Some(named) => Some(control_plane.project(caller, named).await?.record.id),
            None => None,
        };
        Ok(Self { kind, project })
    }

    fn matches(&self, caller: &Caller, action: Action, head: &ChangeMetadata) -> Wanted {
        let is_match = caller.visibility_in_account(&head.account, head.project.as_ref()) == Visibility::Visible
            && self.project.as_ref().is_none_or(|project| head.project.as_ref() == Some(project))
            && self.kind.as_deref().is_none_or(|kind| kind == event_type(action) || kind == action.as_str());
        if is_match { Wanted::Yes } else { Wanted::No }
    }
}

#[derive(PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

impl ControlPlane {
    /// Changes after a cursor, oldest first.
    pub(crate) async fn changes(
        &self,
        caller: &Caller,
        filter: &EventFilter,
        after: Version,
        limit: usize,
    ) -> Result<ChangePage> {
        let mut page =
            ChangePage { changes: Vec::new(), next: after, continuity: Continuity::Unbroken, rest: Rest::More };
        let mut read = 0;
        while page.changes.len() < limit && read < MAX_ENTRIES_READ {
            let _turn = self.acquire_list_permit(caller).await?;
            let (entries, cursor_check) =
                self.store.read_feed_checked(page.next, None, ENTRIES_PER_READ, Duration::ZERO).await?;
            if read == 0 {
                page.continuity = continuity(after, cursor_check);
            }
            read += entries.len();
            let is_last = entries.len() < ENTRIES_PER_READ as usize;
            let mut is_full = false;
            for entry in entries {
                page.next = entry.version;
                page.changes.extend(visible_change(caller, filter, &entry));
                is_full = page.changes.len() >= limit;
                if is_full {
                    break;
                }
            }
            if is_last && !is_full {
                page.rest = Rest::None;
                break;
            }
        }
        Ok(page)
    }

    /// The next changes for somebody who has read up to a cursor; waits a moment for the first.
    pub(crate) async fn wait_for_changes(
        &self,
        caller: &Caller,
        filter: &EventFilter,
        after: Version,
    ) -> Result<(Vec<ChangeBody>, Version, Continuity)> {
        let (entries, cursor_check) = self.store.read_feed_checked(after, None, ENTRIES_PER_READ, FEED_WAIT).await?;
        let next = entries.last().map_or(after, |entry| entry.version);
        let changes = entries.iter().filter_map(|entry| visible_change(caller, filter, entry)).collect();
        Ok((changes, next, continuity(after, cursor_check)))
    }
}

/// How long the feed waits for an entry before it is asked again.
const FEED_WAIT: Duration = Duration::from_millis(500);

/// Who begins at the start continues nothing, so nothing is missing for them.
fn continuity(after: Version, cursor_check: CursorCheck) -> Continuity {
    match cursor_check.state {
        _ if after == Version::ZERO => Continuity::Unbroken,
        CursorState::Present => Continuity::Unbroken,
        CursorState::Trimmed if after == cursor_check.trimmed_through => Continuity::Unbroken,
        CursorState::Trimmed => Continuity::Trimmed,
        CursorState::Diverged => Continuity::Unknown,
    }
}

/// A change, if the caller sees and wants it. What cannot be decoded is in quarantine.
fn visible_change(caller: &Caller, filter: &EventFilter, entry: &StreamEntry) -> Option<ChangeBody> {
    let payload = entry.audit.as_ref().ok()?;
    if filter.matches(caller, payload.action, &payload.metadata) == Wanted::No {
        return None;
    }
    let view = ChangeView {
        action: payload.action,
        actor: &payload.metadata.actor,
        address: payload.metadata.address,
        account: &payload.metadata.account,
        project: payload.metadata.project.as_ref(),
        subject: &payload.metadata.subject,
        old: payload.old.as_ref(),
        new: payload.new.as_ref(),
    };
    change_body(entry.version, entry.event.as_ref()?, &view)
}

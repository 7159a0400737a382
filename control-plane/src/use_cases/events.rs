//! Changes, for people: read from the stream as gateways and deliverers read it, as far as the caller sees them.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::ProjectId;
use gatepost_domain::time::Version;
use gatepost_store::act::{CursorState, Judged};
use gatepost_store::{Entry, EntryHead};
use gatepost_wire::{ChangeBody, Told, change_body, kind_of};

use crate::ControlPlane;
use crate::caller::{Caller, Sight};
use crate::failure::{Failure, Result};

/// Streams of events at a time in one process.
pub(crate) const MAX_STREAMS: usize = 64;
/// How long one waits for its turn.
pub(crate) const STREAM_PATIENCE: Duration = Duration::from_secs(1);
/// Changes that one answer tells at most, and how many it tells unless it was asked for fewer.
pub(crate) const MAX_TOLD: usize = 1000;
pub(crate) const DEFAULT_TOLD: usize = 100;
/// Entries of the stream that are read at a time.
const BATCH: u32 = 200;
/// Entries that are read for one answer: of what others did, the caller is told nothing but the next cursor.
const MAX_READ: usize = 10_000;

/// Which changes are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventFilter {
    pub(crate) kind: Option<String>,
    pub(crate) project: Option<ProjectId>,
}

/// Changes in order, and how to go on.
#[derive(Debug)]
pub(crate) struct ToldChanges {
    pub(crate) changes: Vec<ChangeBody>,
    pub(crate) next: Version,
    pub(crate) continues: Continues,
    pub(crate) rest: Rest,
}

/// Whether an answer continues what was read up to the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continues {
    /// Nothing lies in between.
    Yes,
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
    pub(crate) async fn checked(
        control_plane: &ControlPlane,
        caller: &Caller,
        kind: Option<String>,
        project: Option<&str>,
    ) -> Result<Self> {
        if let Some(kind) = &kind
            && !Action::ALL.iter().any(|action| kind_of(*action) == kind || action.as_str() == kind)
        {
            let mut known: Vec<&str> = Action::ALL.iter().map(|action| kind_of(*action)).collect();
            known.dedup();
            return Err(Failure::invalid(format!("type: {kind:?} is not known; known are {}", known.join(", "))));
        }
        let project = match project {
            Some(named) => Some(control_plane.project(caller, named).await?.record.id),
            None => None,
        };
        Ok(Self { kind, project })
    }

    fn wants(&self, caller: &Caller, action: Action, head: &EntryHead) -> Wanted {
        let is_wanted = caller.sees_of(&head.account, head.project.as_ref()) == Sight::Seen
            && self.project.as_ref().is_none_or(|project| head.project.as_ref() == Some(project))
            && self.kind.as_deref().is_none_or(|kind| kind == kind_of(action) || kind == action.as_str());
        if is_wanted { Wanted::Yes } else { Wanted::No }
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
    ) -> Result<ToldChanges> {
        let mut told = ToldChanges { changes: Vec::new(), next: after, continues: Continues::Yes, rest: Rest::More };
        let mut read = 0;
        while told.changes.len() < limit && read < MAX_READ {
            let _turn = self.list_turn(caller).await?;
            let (entries, judged) = self.store.follow(told.next, None, BATCH, Duration::ZERO).await?;
            if read == 0 {
                told.continues = continues(after, judged);
            }
            read += entries.len();
            let is_last = entries.len() < BATCH as usize;
            let mut is_full = false;
            for entry in entries {
                told.next = entry.version;
                told.changes.extend(shown(caller, filter, &entry));
                is_full = told.changes.len() >= limit;
                if is_full {
                    break;
                }
            }
            if is_last && !is_full {
                told.rest = Rest::None;
                break;
            }
        }
        Ok(told)
    }

    /// The next changes for somebody who has read up to a cursor; waits a moment for the first.
    pub(crate) async fn next_changes(
        &self,
        caller: &Caller,
        filter: &EventFilter,
        after: Version,
    ) -> Result<(Vec<ChangeBody>, Version, Continues)> {
        let (entries, judged) = self.store.follow(after, None, BATCH, FEED_WAIT).await?;
        let next = entries.last().map_or(after, |entry| entry.version);
        let changes = entries.iter().filter_map(|entry| shown(caller, filter, entry)).collect();
        Ok((changes, next, continues(after, judged)))
    }
}

/// How long the feed waits for an entry before it is asked again.
const FEED_WAIT: Duration = Duration::from_millis(500);

/// Who begins at the start continues nothing, so nothing is missing for them.
fn continues(after: Version, judged: Judged) -> Continues {
    match judged.state {
        _ if after == Version::ZERO => Continues::Yes,
        CursorState::Present => Continues::Yes,
        CursorState::Trimmed if after == judged.trimmed_through => Continues::Yes,
        CursorState::Trimmed => Continues::Trimmed,
        CursorState::Foreign => Continues::Unknown,
    }
}

/// A change, if the caller sees and wants it. What cannot be decoded is in quarantine.
fn shown(caller: &Caller, filter: &EventFilter, entry: &Entry) -> Option<ChangeBody> {
    let told = entry.told.as_ref().ok()?;
    if filter.wants(caller, told.action, &told.head) == Wanted::No {
        return None;
    }
    let wire = Told {
        action: told.action,
        actor: &told.head.actor,
        address: told.head.address,
        account: &told.head.account,
        project: told.head.project.as_ref(),
        subject: &told.head.subject,
        old: told.old.as_ref(),
        new: told.new.as_ref(),
    };
    change_body(entry.version, entry.event.as_ref()?, &wire)
}

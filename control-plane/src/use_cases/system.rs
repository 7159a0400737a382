//! The whole system, for its operator: the store, the queues, and what could not be read.

use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Role;
use gatepost_domain::time::{Timestamp, Version};
use gatepost_store::{Format, QueueStats, Recovery, ReplayStats, StoreKind};

use super::event_cursor::EventCursor;
use super::pagination::Rest;
use crate::caller::Caller;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

/// Entries in quarantine in one response, at most and by default.
pub const MAX_QUARANTINE_PAGE: usize = 1000;
pub const DEFAULT_QUARANTINE_PAGE: usize = 100;
/// Entries that are read at a time, with their bytes.
const QUARANTINE_READ: usize = 100;

/// State of the system.
#[derive(Debug)]
pub struct SystemView {
    /// Release of this process.
    pub version: &'static str,
    pub store: StoreView,
    pub queue: QueueStats,
}

/// State of the store.
#[derive(Debug)]
pub struct StoreView {
    pub kind: StoreKind,
    /// Format in which this process writes.
    pub format: Format,
    /// Why the store refuses ordinary writes; absent if it accepts them.
    pub full_reason: Option<String>,
    pub recovery: Recovery,
    /// Settings that are allowed but unwise, one sentence each.
    pub warnings: Vec<String>,
    /// What this process replayed after failovers.
    pub replays: ReplayStats,
}

/// An entry of the stream that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedEntry {
    pub cursor: EventCursor,
    /// Time of the change, on the store's clock.
    pub at: Timestamp,
    pub reason: String,
    /// Size of the entry.
    pub bytes: usize,
}

/// Entries in quarantine, newest first.
#[derive(Debug)]
pub struct QuarantinePage {
    pub entries: Vec<QuarantinedEntry>,
    /// The cursor of the next page.
    pub next: EventCursor,
    pub rest: Rest,
}

impl ControlPlane {
    /// Refuses callers that are not admins of the store's first account, which is the operator's. `detail` says so.
    pub(super) async fn require_operator(&self, context: &RequestContext, detail: &'static str) -> Result<()> {
        let caller = &context.caller;
        caller.require_admin()?;
        caller.require_account_scope()?;
        match self.is_operator(caller).await? {
            true => Ok(()),
            false => Err(Failure::refused(ErrorCode::Forbidden, detail)),
        }
    }

    /// Returns whether a caller is an admin of the store's first account, which sees the whole system.
    pub async fn is_operator(&self, caller: &Caller) -> Result<bool> {
        if caller.role != Role::Admin || caller.project.is_some() {
            return Ok(false);
        }
        let first = self.store.single_cell().accounts("", 1).await?.items;
        Ok(first.first().is_some_and(|first| first.record.id == caller.account))
    }

    /// Returns the state of the store and of the queues.
    ///
    /// # Errors
    /// `forbidden` if the caller is not an admin of the first account.
    pub async fn system(&self, context: &RequestContext) -> Result<SystemView> {
        self.require_operator(context, SYSTEM_IS_THE_OPERATORS).await?;
        let cell = self.store.single_cell();
        let store = StoreView {
            kind: cell.kind(),
            format: cell.read_format().await?,
            full_reason: cell.full_reason().await?,
            recovery: cell.recovery(),
            warnings: cell.warnings().await?,
            replays: cell.replay_stats().await?,
        };
        Ok(SystemView { version: env!("CARGO_PKG_VERSION"), store, queue: cell.queue_stats().await? })
    }

    /// Returns entries in quarantine before a cursor, newest first.
    ///
    /// # Errors
    /// `forbidden` if the caller is not an admin of the first account.
    pub async fn quarantine(
        &self,
        context: &RequestContext,
        before: &EventCursor,
        limit: usize,
    ) -> Result<QuarantinePage> {
        self.require_operator(context, SYSTEM_IS_THE_OPERATORS).await?;
        let mut page = QuarantinePage { entries: Vec::new(), next: before.clone(), rest: Rest::More };
        while page.entries.len() < limit {
            let _turn = self.acquire_list_permit(context).await?;
            let count = (limit - page.entries.len()).min(QUARANTINE_READ);
            let read = self.store.single_cell().quarantine(page.next.version(), count as u32).await?;
            let is_last = read.len() < count;
            page.entries.extend(read.into_iter().map(quarantined_entry));
            if let Some(last) = page.entries.last() {
                page.next = last.cursor.clone();
            }
            if is_last {
                page.rest = Rest::Nothing;
                break;
            }
        }
        Ok(page)
    }

    /// Returns an entry in quarantine with its bytes, as they are stored.
    ///
    /// # Errors
    /// `forbidden` if the caller is not an admin of the first account, `not-found` if there is no such entry.
    pub async fn quarantined_entry(
        &self,
        context: &RequestContext,
        cursor: &EventCursor,
    ) -> Result<(QuarantinedEntry, Vec<u8>)> {
        self.require_operator(context, SYSTEM_IS_THE_OPERATORS).await?;
        let after = Version::from_u64(cursor.version().as_u64().saturating_add(1));
        let found = self.store.single_cell().quarantine(after, 1).await?.into_iter().next();
        let found = found.filter(|(version, ..)| *version == cursor.version());
        let found =
            found.ok_or_else(|| Failure::refused(ErrorCode::NotFound, "there is no such entry in quarantine"))?;
        let bytes = found.1.clone();
        Ok((quarantined_entry(found), bytes))
    }
}

const SYSTEM_IS_THE_OPERATORS: &str = "the system is shown to admins of the first account";

fn quarantined_entry((version, bytes, reason): (Version, Vec<u8>, String)) -> QuarantinedEntry {
    QuarantinedEntry { cursor: EventCursor::at(version), at: version.timestamp(), reason, bytes: bytes.len() }
}

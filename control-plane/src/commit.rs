//! Committing changes: repeated where the answer was lost, told in the API's words where refused.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::EventId;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Actor;
use gatepost_domain::time::Version;
use gatepost_store::ops::{CommitOutcome, CursorState};
use gatepost_store::{AccountResource, Change, CommitContext, RecordWrite, StoreErrorKind, Versioned, os_rng};

use crate::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context;

/// How often a use case reads anew and tries again when somebody else was faster.
pub(crate) const MAX_TRIES: u32 = 5;
/// How often one change is sent while its answer is lost. Its event id makes repeating harmless.
const MAX_SENDS: u32 = 2;
/// How many resources an account may make at once, and after how long one more.
pub(crate) const CREATION_BURST: u32 = 1000;
/// See [`CREATION_BURST`].
pub(crate) const CREATION_INTERVAL: Duration = Duration::from_millis(1);
/// Accounts whose pace is remembered.
pub(crate) const MAX_ACCOUNTS: u64 = 100_000;

/// How a commit ended, for use cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It stands at this version.
    At(Version),
    /// Somebody else was faster: read anew.
    Stale,
}

impl ControlPlane {
    /// Commits a change of records, the subject first.
    pub(crate) async fn commit(
        &self,
        action: Action,
        actor: &Actor,
        writes: Vec<RecordWrite>,
        secret: Option<Secret>,
    ) -> Result<Committed> {
        let event = EventId::generate(&mut os_rng());
        self.commit_change(Change { event, action, actor: actor.clone(), writes, secret, stored_response: None }).await
    }

    /// Commits a change.
    pub(crate) async fn commit_change(&self, change: Change) -> Result<Committed> {
        self.throttle_creation(&change)?;
        let origin = self.origin(&change)?;
        match self.send_commit(&change, &origin).await? {
            CommitOutcome::Committed(version) => {
                self.metrics.count_change(change.action);
                Ok(record_committed(&change, version))
            }
            CommitOutcome::AlreadyCommitted(version) => Ok(record_committed(&change, version)),
            CommitOutcome::VersionConflict => Ok(Committed::Stale),
            CommitOutcome::DigestTaken => {
                Err(Failure::refused(ErrorCode::Conflict, "key: another key has or had this value"))
            }
            CommitOutcome::StreamFull => Err(Failure::refused(
                ErrorCode::StreamFull,
                "the event stream is full because no deliverer reads it; what shuts keys off still works",
            )),
            CommitOutcome::AccountLimitExceeded(kind, bound) => Err(self.account_full(kind, bound)),
        }
    }

    /// Holds back an account that makes more than its share of new resources. The operator's commands are not held.
    fn throttle_creation(&self, change: &Change) -> Result<()> {
        let creates = change.writes.iter().any(|write| write.old.is_none());
        match (&change.actor, change.account()) {
            (Actor::AccessKey(_), Some(account)) if creates => {
                self.creation_limiter.try_acquire(account, self.clock.uptime()).map_err(Failure::Throttled)
            }
            _ => Ok(()),
        }
    }

    /// The refusal of what would give an account more than it may have.
    pub(crate) fn account_full(&self, resource: AccountResource, limit: u64) -> Failure {
        let (setting, what) = match resource {
            AccountResource::ApiKeys => (
                "max_keys",
                "API keys; revoked ones, and those of deleted projects, count until the operator purges them",
            ),
            AccountResource::Projects => ("max_projects", "projects: delete one first"),
            AccountResource::AccessKeys => ("max_access_keys", "access keys: delete one first"),
            AccountResource::Bytes => (
                "max_bytes",
                "bytes of records, and a quarter more by changes: shorten some, or have the operator purge what was revoked",
            ),
        };
        self.metrics.count_over_limit(setting);
        let detail = format!("accounts.{setting}: the account may have no more than {limit} {what}");
        Failure::refused(ErrorCode::AccountFull, detail)
    }

    /// Whether the change that brought a record to where it already is still stands. What is committed
    /// a second time so is nothing new, but who waits for gateways must know its version.
    pub(crate) async fn confirm_unchanged<T>(&self, found: &Versioned<T>) -> Result<Committed> {
        match self.store.confirm(found.version, &found.event).await?.state {
            CursorState::Present | CursorState::Trimmed => Ok(Committed::At(found.version)),
            CursorState::Diverged => Ok(Committed::Stale),
        }
    }

    /// What the request that is being answered adds to its changes.
    fn origin(&self, change: &Change) -> Result<CommitContext> {
        let Some(request) = request_context::current() else { return Ok(CommitContext::default()) };
        let answer = match request.slot() {
            Some(slot) => self.response_of_change(change)?.map(|answer| slot.to_stored_response(Some(answer))),
            None => None,
        };
        Ok(CommitContext { client_ip: request.address, stored_response: answer, ..CommitContext::default() })
    }

    /// Sends a change, again while its answer is lost.
    pub(crate) async fn send_commit(&self, change: &Change, origin: &CommitContext) -> Result<CommitOutcome> {
        let mut sends = 1;
        loop {
            match self.store.commit_with_context(change, origin).await {
                Err(error) if may_have_been_written(error.kind()) && sends < MAX_SENDS => sends += 1,
                answer => return Ok(answer?),
            }
        }
    }
}

/// Whether it is not known that nothing was written, or not known that it will last.
fn may_have_been_written(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Unconfirmed)
}

fn record_committed(change: &Change, version: Version) -> Committed {
    for record in change.writes.iter().filter_map(|write| write.new.as_ref()) {
        request_context::record_write(record.id(), version);
    }
    Committed::At(version)
}

/// What use cases answer when others were faster again and again.
pub(crate) fn too_contended() -> Failure {
    Failure::refused(ErrorCode::Conflict, "the resource was changed at the same time, again and again; try again")
}

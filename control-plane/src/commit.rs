//! Committing changes: repeated where the answer was lost, told in the API's words where refused.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::EventId;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Actor;
use gatepost_domain::time::Version;
use gatepost_store::act::{CommitAnswer, CursorState};
use gatepost_store::{AccountResource, Change, Origin, StoreErrorKind, Versioned, Write, os_rng};

use crate::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request;

/// How often a use case reads anew and tries again when somebody else was faster.
pub(crate) const MAX_TRIES: u32 = 5;
/// How often one change is sent while its answer is lost. Its event id makes repeating harmless.
const MAX_SENDS: u32 = 2;
/// How many resources an account may make at once, and after how long one more.
pub(crate) const CREATION_BURST: u32 = 1000;
/// See [`CREATION_BURST`].
pub(crate) const CREATION_EVERY: Duration = Duration::from_millis(1);
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
        writes: Vec<Write>,
        secret: Option<Secret>,
    ) -> Result<Committed> {
        let event = EventId::generate(&mut os_rng());
        self.commit_change(Change { event, action, actor: actor.clone(), writes, secret, receipt: None }).await
    }

    /// Commits a change.
    pub(crate) async fn commit_change(&self, change: Change) -> Result<Committed> {
        self.keep_pace(&change)?;
        let origin = self.origin(&change)?;
        match self.send_commit(&change, &origin).await? {
            CommitAnswer::Committed(version) => {
                self.metrics.changed(change.action);
                Ok(written(&change, version))
            }
            CommitAnswer::Repeated(version) => Ok(written(&change, version)),
            CommitAnswer::Stale => Ok(Committed::Stale),
            CommitAnswer::DigestTaken => {
                Err(Failure::refused(ErrorCode::Conflict, "key: another key has or had this value"))
            }
            CommitAnswer::StreamFull => Err(Failure::refused(
                ErrorCode::StreamFull,
                "the event stream is full because no deliverer reads it; what shuts keys off still works",
            )),
            CommitAnswer::OverBound(kind, bound) => Err(self.over_bound(kind, bound)),
        }
    }

    /// Holds back an account that makes more than its share of new resources. The operator's commands are not held.
    fn keep_pace(&self, change: &Change) -> Result<()> {
        let creates = change.writes.iter().any(|write| write.old.is_none());
        match (&change.actor, change.account()) {
            (Actor::AccessKey(_), Some(account)) if creates => {
                self.creations.take(account, self.clock.uptime()).map_err(Failure::TooFast)
            }
            _ => Ok(()),
        }
    }

    /// The refusal of what would give an account more than it may have.
    pub(crate) fn over_bound(&self, resource: AccountResource, bound: u64) -> Failure {
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
        self.metrics.over_bound(setting);
        let detail = format!("accounts.{setting}: the account may have no more than {bound} {what}");
        Failure::refused(ErrorCode::AccountFull, detail)
    }

    /// Whether the change that brought a record to where it already is still stands. What is committed
    /// a second time so is nothing new, but who waits for gateways must know its version.
    pub(crate) async fn standing<T>(&self, found: &Versioned<T>) -> Result<Committed> {
        match self.store.confirm(found.version, &found.event).await?.state {
            CursorState::Present | CursorState::Trimmed => Ok(Committed::At(found.version)),
            CursorState::Foreign => Ok(Committed::Stale),
        }
    }

    /// What the request that is being answered adds to its changes.
    fn origin(&self, change: &Change) -> Result<Origin> {
        let Some(request) = request::current() else { return Ok(Origin::default()) };
        let answer = match request.slot() {
            Some(slot) => self.answer_of(change)?.map(|answer| slot.receipt(Some(answer))),
            None => None,
        };
        Ok(Origin { address: request.address, answer, ..Origin::default() })
    }

    /// Sends a change, again while its answer is lost.
    pub(crate) async fn send_commit(&self, change: &Change, origin: &Origin) -> Result<CommitAnswer> {
        let mut sends = 1;
        loop {
            match self.store.commit_from(change, origin).await {
                Err(error) if may_be_written(error.kind()) && sends < MAX_SENDS => sends += 1,
                answer => return Ok(answer?),
            }
        }
    }
}

/// Whether it is not known that nothing was written, or not known that it will last.
fn may_be_written(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Unconfirmed)
}

fn written(change: &Change, version: Version) -> Committed {
    for record in change.writes.iter().filter_map(|write| write.new.as_ref()) {
        request::wrote(record.id(), version);
    }
    Committed::At(version)
}

/// What use cases answer when others were faster again and again.
pub(crate) fn too_contended() -> Failure {
    Failure::refused(ErrorCode::Conflict, "the resource was changed at the same time, again and again; try again")
}

//! Committing changes: resent while their outcome is unknown, and refused in the words of the API.

use gatepost_domain::change::Action;
use gatepost_domain::id::EventId;
use gatepost_domain::key::Secret;
use gatepost_domain::partition::Position;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{Actor, Record};
use gatepost_store::CommitOutcome;
use gatepost_store::{
    AccountResource, Change, CommitContext, RecordWrite, StoreErrorKind, StoredResponse, UnknownFields, Versioned,
    os_rng,
};

use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::limits::RESPONSE_TTL;
use crate::request_context::RequestContext;

/// How often a change is sent while its outcome is unknown. Its event id makes resending harmless.
const MAX_SENDS: u32 = 2;

/// The initiator of a change: the caller of a request, or the operator on the command line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Initiator<'a> {
    Request(&'a RequestContext),
    Operator,
}

impl Initiator<'_> {
    pub(crate) fn actor(self) -> Actor {
        match self {
            Initiator::Request(context) => context.caller.actor(),
            Initiator::Operator => Actor::Operator,
        }
    }

    /// Checks the precondition of the request against the version of its subject.
    pub(crate) fn check_precondition(self, position: Position) -> Result<()> {
        match self {
            Initiator::Request(context) => context.precondition.check(position),
            Initiator::Operator => Ok(()),
        }
    }

    /// Returns what the request adds to a change: its address and the response for repeated requests.
    fn commit_context(self, change: &Change) -> Result<CommitContext> {
        let Initiator::Request(context) = self else { return Ok(CommitContext::default()) };
        let stored_response = match &context.idempotency {
            Some(slot) => slot.encoder.encode(&slot.request_digest, change)?.map(|response| StoredResponse {
                name: slot.slot.clone(),
                response,
                ttl: RESPONSE_TTL,
            }),
            None => None,
        };
        Ok(CommitContext { client_ip: context.address, stored_response, ..CommitContext::default() })
    }
}

impl<'a> From<&'a RequestContext> for Initiator<'a> {
    fn from(context: &'a RequestContext) -> Self {
        Initiator::Request(context)
    }
}

/// The outcome of a commit for use cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    At(Position),
    /// A concurrent change was committed first: read again.
    Stale,
}

impl ControlPlane {
    /// Creates a record, together with others that depend on it.
    pub(crate) async fn create<T: Clone + Into<Record>>(
        &self,
        by: &RequestContext,
        action: Action,
        record: T,
        further: Option<RecordWrite>,
        secret: Option<Secret>,
    ) -> Result<Versioned<T>> {
        let new: Record = record.clone().into();
        let event = EventId::generate_in(new.partition(), &mut os_rng());
        let change = Change {
            event: event.clone(),
            action,
            actor: by.caller.actor(),
            writes: std::iter::once(RecordWrite::create(new)).chain(further).collect(),
            secret,
            stored_response: None,
        };
        match self.commit(by.into(), change).await? {
            Committed::At(position) => {
                Ok(Versioned { record, position, event, first_used_at: None, unknown: UnknownFields::default() })
            }
            Committed::Stale => Err(too_contended()),
        }
    }

    pub(crate) async fn commit(&self, by: Initiator<'_>, change: Change) -> Result<Committed> {
        self.throttle_creation(&change)?;
        let context = by.commit_context(&change)?;
        match self.send_commit(&change, &context).await? {
            CommitOutcome::Committed(position) => {
                self.metrics.count_change(change.action);
                Ok(Committed::At(position))
            }
            CommitOutcome::AlreadyCommitted(position) => Ok(Committed::At(position)),
            CommitOutcome::VersionConflict => Ok(Committed::Stale),
            CommitOutcome::DigestTaken => {
                Err(Failure::refused(ErrorCode::Conflict, "key: another key has or had this value"))
            }
            CommitOutcome::StreamFull => Err(Failure::refused(
                ErrorCode::StreamFull,
                "the event stream is full because no deliverer reads it; revoking and deleting still work",
            )),
            CommitOutcome::AccountLimitExceeded(kind, limit) => Err(self.account_full(kind, limit)),
        }
    }

    /// Limits how fast an account creates resources. Commands of the operator are not limited.
    fn throttle_creation(&self, change: &Change) -> Result<()> {
        let creates = change.writes.iter().any(|write| write.old.is_none());
        match (&change.actor, change.account()) {
            (Actor::AccessKey(_), Some(account)) if creates => {
                self.limits.creations.try_acquire(account, self.clock.uptime()).map_err(Failure::Throttled)
            }
            _ => Ok(()),
        }
    }

    /// Waits until the account of a change may create what it creates. An import waits in place of its client: each wait
    /// is at most as long as one creation more takes.
    pub(crate) async fn wait_for_creation(&self, change: &Change) {
        while let Err(Failure::Throttled(wait)) = self.throttle_creation(change) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Returns the refusal of a change that would exceed a limit of its account.
    pub(crate) fn account_full(&self, resource: AccountResource, limit: u64) -> Failure {
        let (setting, what) = match resource {
            AccountResource::ApiKeys => (
                "max_keys",
                "API keys; revoked keys and keys of deleted projects are included until the operator purges them",
            ),
            AccountResource::Projects => ("max_projects", "projects: delete one first"),
            AccountResource::AccessKeys => ("max_access_keys", "access keys: delete one first"),
            AccountResource::Bytes => (
                "max_bytes",
                "bytes of records, and a quarter more by changes: shorten some, or have the operator purge revoked keys",
            ),
        };
        self.metrics.count_over_limit(setting);
        let detail = format!("accounts.{setting}: the account may have no more than {limit} {what}");
        Failure::refused(ErrorCode::AccountFull, detail)
    }

    /// Sends a change, and resends it while its outcome is unknown.
    pub(crate) async fn send_commit(&self, change: &Change, context: &CommitContext) -> Result<CommitOutcome> {
        let partition = change.partition();
        let mut sends = 1;
        loop {
            match self.store.home(partition).commit_with_context(change, context).await {
                Err(error) if may_have_been_written(error.kind()) && sends < MAX_SENDS => sends += 1,
                outcome => return Ok(outcome?),
            }
        }
    }
}

/// Returns whether a failed commit may have been written, or was written but may not last.
fn may_have_been_written(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Unconfirmed)
}

/// Returns the refusal after concurrent changes were committed first every time.
pub(crate) fn too_contended() -> Failure {
    Failure::refused(ErrorCode::Conflict, "the resource was changed at the same time, again and again; try again")
}

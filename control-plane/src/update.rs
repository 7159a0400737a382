//! The update of a record: read, edit, commit, and retry while concurrent changes are committed first.

use gatepost_domain::change::Action;
use gatepost_domain::id::{EventId, ProjectId};
use gatepost_domain::key::Secret;
use gatepost_domain::record::{AccessKey, Account, ApiKey, Project, Record, Stamps, Webhook};
use gatepost_store::CursorState;
use gatepost_store::{Change, RecordWrite, StoredResponse, Versioned, os_rng};

use crate::commit::{Committed, Initiator, too_contended};
use crate::control_plane::ControlPlane;
use crate::failure::Result;

/// Maximum number of attempts of an update while concurrent changes are committed first.
const MAX_TRIES: u32 = 5;

/// A kind of record that can be updated.
pub(crate) trait Updatable: Clone + Into<Record> {
    fn stamps_mut(&mut self) -> &mut Stamps;

    /// Returns the project whose deletion freezes the record: it can then be revoked, but not changed otherwise.
    fn enclosing_project(&self) -> Option<&ProjectId> {
        None
    }
}

/// What an update makes of the record that it has read.
pub(crate) enum Edit<T> {
    /// The record is already as requested.
    Unchanged,
    Replace(Box<Replacement<T>>),
    Remove(Action),
}

/// The new state of a record.
pub(crate) struct Replacement<T> {
    pub(crate) action: Action,
    pub(crate) record: T,
    /// A new value, which the deliveries of the event carry.
    pub(crate) secret: Option<Secret>,
    /// A response for repeated requests, beside the one of an idempotency slot.
    pub(crate) stored_response: Option<StoredResponse>,
}

impl<T> Edit<T> {
    /// Returns a replacement without a secret.
    pub(crate) fn replace(action: Action, record: T) -> Self {
        Edit::Replace(Box::new(Replacement { action, record, secret: None, stored_response: None }))
    }
}

impl ControlPlane {
    /// Updates the record that `read` returns, and returns it with its new version, or as it was if it was removed.
    ///
    /// The precondition of the request is checked against each version that was read. A record that is already as
    /// requested is returned once the store confirms that it still has the change which made it so: a new master may
    /// have lost it, and a client that waits for gateways needs its version.
    ///
    /// # Errors
    /// Errors of `read` and `edit`, and `conflict` after 5 tries.
    pub(crate) async fn update<T: Updatable, F>(
        &self,
        by: Initiator<'_>,
        read: impl Fn() -> F,
        mut edit: impl FnMut(&T) -> Result<Edit<T>>,
    ) -> Result<Versioned<T>>
    where
        F: Future<Output = Result<Versioned<T>>>,
    {
        for _ in 0..MAX_TRIES {
            let found = read().await?;
            by.check_precondition(found.position)?;
            let updated = match edit(&found.record)? {
                Edit::Unchanged => self.confirm_unchanged(found).await?,
                Edit::Replace(new) => self.replace(by, found, *new).await?,
                Edit::Remove(action) => self.remove(by, found, action).await?,
            };
            if let Some(updated) = updated {
                return Ok(updated);
            }
        }
        Err(too_contended())
    }

    async fn replace<T: Updatable>(
        &self,
        by: Initiator<'_>,
        found: Versioned<T>,
        new: Replacement<T>,
    ) -> Result<Option<Versioned<T>>> {
        if let Some(project) = found.record.enclosing_project().filter(|_| !is_revocation(new.action)) {
            self.refuse_if_deleted(project).await?;
        }
        let mut record = new.record;
        let stamps = record.stamps_mut().updated(self.now(), by.actor());
        *record.stamps_mut() = stamps;
        let partition = record.clone().into().partition();
        let event = EventId::generate_in(partition, &mut os_rng());
        let (first_used_at, unknown) = (found.first_used_at, found.unknown.clone());
        let change = Change {
            event: event.clone(),
            action: new.action,
            actor: by.actor(),
            writes: vec![RecordWrite::replace(found, record.clone())],
            secret: new.secret,
            stored_response: new.stored_response,
        };
        Ok(match self.commit(by, change).await? {
            Committed::At(position) => Some(Versioned { record, position, event, first_used_at, unknown }),
            Committed::Stale => None,
        })
    }

    /// Removes a record; what was changed since it was read stays.
    pub(crate) async fn remove<T: Clone + Into<Record>>(
        &self,
        by: Initiator<'_>,
        found: Versioned<T>,
        action: Action,
    ) -> Result<Option<Versioned<T>>> {
        let partition = found.record.clone().into().partition();
        let change = Change {
            event: EventId::generate_in(partition, &mut os_rng()),
            action,
            actor: by.actor(),
            writes: vec![RecordWrite::remove(found.clone())],
            secret: None,
            stored_response: None,
        };
        let committed = self.commit(by, change).await?;
        Ok((committed != Committed::Stale).then_some(found))
    }

    /// Returns the record if the store still has the change that made it so.
    async fn confirm_unchanged<T>(&self, found: Versioned<T>) -> Result<Option<Versioned<T>>> {
        let cell = self.store.cell(found.position.cell);
        Ok(match cell.confirm(found.position.version, &found.event).await?.state {
            CursorState::Present | CursorState::Trimmed => Some(found),
            CursorState::Diverged => None,
        })
    }
}

/// Repeats an attempt that reads more than one record, until it returns a value.
///
/// # Errors
/// Errors of an attempt, and `conflict` after 5 attempts.
pub(crate) async fn retry_while_contended<T, F>(attempt: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    for _ in 0..MAX_TRIES {
        if let Some(done) = attempt().await? {
            return Ok(done);
        }
    }
    Err(too_contended())
}

fn is_revocation(action: Action) -> bool {
    matches!(action, Action::ApiKeyDeleted | Action::AccessKeyDeleted)
}

impl Updatable for Account {
    fn stamps_mut(&mut self) -> &mut Stamps {
        &mut self.stamps
    }
}

impl Updatable for Project {
    fn stamps_mut(&mut self) -> &mut Stamps {
        &mut self.stamps
    }
}

impl Updatable for ApiKey {
    fn stamps_mut(&mut self) -> &mut Stamps {
        &mut self.stamps
    }

    fn enclosing_project(&self) -> Option<&ProjectId> {
        Some(&self.project)
    }
}

impl Updatable for AccessKey {
    fn stamps_mut(&mut self) -> &mut Stamps {
        &mut self.stamps
    }

    fn enclosing_project(&self) -> Option<&ProjectId> {
        self.project.as_ref()
    }
}

impl Updatable for Webhook {
    fn stamps_mut(&mut self) -> &mut Stamps {
        &mut self.stamps
    }
}

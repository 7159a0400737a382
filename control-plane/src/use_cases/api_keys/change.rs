//! Changing keys: their members, their value, whether they may be used.

use gatepost_domain::change::Action;
use gatepost_domain::id::EventId;
use gatepost_domain::key::{self, KeyFormat, Secret};
use gatepost_domain::record::{ApiKey, KeyDigest, Status};
use gatepost_domain::time::{Timestamp, Version};
use gatepost_store::ops::CursorState;
use gatepost_store::{Change, RecordWrite, StoredResponse, Versioned, os_rng};

use super::{KeyFields, KeyRef, parse_chosen_value};
use crate::ControlPlane;
use crate::caller::Caller;
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};
use crate::use_cases::patch::Patch;
use crate::use_cases::update_rules::{check_unchanged, next_status};

/// A key after a change.
#[derive(Debug)]
pub(crate) struct CommittedKey {
    pub(crate) key: ApiKey,
    pub(crate) first_used_at: Option<Timestamp>,
    /// The version at which it is so.
    pub(crate) version: Version,
    /// What stands in the answer's `key`.
    pub(crate) echoed_key: String,
}

impl CommittedKey {
    pub(super) fn new(found: &Versioned<ApiKey>, key: ApiKey, version: Version, echoed_key: &str) -> Self {
        Self { key, first_used_at: found.first_used_at, version, echoed_key: echoed_key.to_owned() }
    }
}

/// What a use case makes of a key that was read.
pub(super) enum Transition {
    /// It is so already.
    Unchanged,
    /// This.
    Changed(Box<PendingChange>),
}

/// A key as it shall be.
pub(super) struct PendingChange {
    pub(super) action: Action,
    pub(super) key: ApiKey,
    /// Its new value, if it gets one.
    pub(super) value: Option<Secret>,
    /// What a repeated request shall be answered.
    pub(super) stored_response: Option<StoredResponse>,
}

/// A change of a key as a caller asks for it, perhaps as a copy of the whole key.
#[derive(Default)]
pub(crate) struct KeyChange {
    pub(crate) fields: KeyFields,
    pub(crate) status: Option<Status>,
    pub(crate) project: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) env: Option<String>,
    /// The mask of the value that a copy was read with.
    pub(crate) mask: Option<String>,
}

impl KeyChange {
    fn check_immutable_fields(&self, key: &ApiKey) -> Result<()> {
        check_unchanged("projectId", self.project.as_deref(), key.project.as_str())?;
        check_unchanged("accountId", self.account.as_deref(), key.account.as_str())?;
        check_unchanged("env", self.env.as_deref(), key.env.as_str())
    }

    fn changes_status_only(&self) -> bool {
        self.status.is_some() && self.fields == KeyFields::default()
    }
}

impl ControlPlane {
    /// Changes what was given. A new `key` is a new value: the old one is refused at once. What revokes the key does so
    /// by the same change as all the rest.
    pub(crate) async fn update_api_key(
        &self,
        caller: &Caller,
        name: &KeyRef,
        change: &KeyChange,
    ) -> Result<CommittedKey> {
        self.change_api_key(caller, name, |found| {
            change.check_immutable_fields(found)?;
            let reactivation_hint =
                || format!("the key was revoked; PATCH /api-keys/{}/reactivate lets it be used again", found.id);
            let status = next_status(found.status, change.status, reactivation_hint)?;
            if change.changes_status_only() && status == found.status {
                return Ok(Transition::Unchanged);
            }
            let mut key = ApiKey { status, ..found.clone() };
            change.fields.clone().apply(&mut key)?;
            let value = self.parse_new_value(found, name, change)?;
            if let Some(value) = &value {
                key.digests = vec![KeyDigest::current(self.store.digest(value.expose()))];
                key.mask = key::mask(value.expose());
            }
            let action = if status == found.status { Action::ApiKeyUpdated } else { Action::ApiKeyDeleted };
            Ok(Transition::Changed(Box::new(PendingChange { action, key, value, stored_response: None })))
        })
        .await
    }

    /// Lets a key be used again. Its first use stays what it was.
    pub(crate) async fn reactivate_api_key(&self, caller: &Caller, name: &KeyRef) -> Result<CommittedKey> {
        let reactivated = |found: &ApiKey| Ok(with_status(found, Status::Active, Action::ApiKeyUpdated));
        self.change_api_key(caller, name, reactivated).await
    }

    /// Shuts a key off. Answers the version at which it is off, also if it was before.
    pub(crate) async fn deactivate_api_key(&self, caller: &Caller, name: &KeyRef) -> Result<Version> {
        let deactivated = |found: &ApiKey| Ok(with_status(found, Status::Inactive, Action::ApiKeyDeleted));
        self.change_api_key(caller, name, deactivated).await.map(|changed| changed.version)
    }

    /// Reads a key, changes it and writes it, again while others are faster.
    pub(super) async fn change_api_key(
        &self,
        caller: &Caller,
        name: &KeyRef,
        transition: impl Fn(&ApiKey) -> Result<Transition>,
    ) -> Result<CommittedKey> {
        caller.require_write()?;
        for _ in 0..MAX_TRIES {
            let found = self.api_key(caller, name).await?;
            let pending = match transition(&found.record)? {
                Transition::Changed(pending) => *pending,
                // A repeated request must not rely on what a new master of the store has lost.
                Transition::Unchanged => match self.store.confirm(found.version, &found.event).await?.state {
                    CursorState::Present | CursorState::Trimmed => {
                        return Ok(CommittedKey::new(&found, found.record.clone(), found.version, name.echoed_key()));
                    }
                    CursorState::Diverged => continue,
                },
            };
            if pending.action != Action::ApiKeyDeleted {
                self.refuse_if_deleted(&found.record.project).await?;
            }
            let echoed_key = pending.value.as_ref().map_or(name.echoed_key(), Secret::expose).to_owned();
            let (change, key) = self.build_change(caller, &found, pending);
            if let Committed::At(version) = self.commit_change(change).await? {
                return Ok(CommittedKey::new(&found, key, version, &echoed_key));
            }
        }
        Err(too_contended())
    }

    fn build_change(&self, caller: &Caller, found: &Versioned<ApiKey>, pending: PendingChange) -> (Change, ApiKey) {
        let now = self.now();
        let mut key = ApiKey { stamps: found.record.stamps.updated(now, caller.actor()), ..pending.key };
        key.digests.retain(|value| !value.has_expired(now));
        let change = Change {
            event: EventId::generate(&mut os_rng()),
            action: pending.action,
            actor: caller.actor(),
            writes: vec![RecordWrite::replace(found.clone(), key.clone())],
            secret: pending.value,
            stored_response: pending.stored_response,
        };
        (change, key)
    }

    /// The value that a key shall get; none if it keeps its own.
    fn parse_new_value(&self, key: &ApiKey, name: &KeyRef, change: &KeyChange) -> Result<Option<Secret>> {
        let text = match &change.fields.key {
            Patch::Absent => return Ok(None),
            Patch::Null => return Err(Failure::invalid("key: a key is never without a value")),
            Patch::Value(text) => text,
        };
        if is_unedited_value(key, name, text, change.mask.as_deref()) {
            return Ok(None);
        }
        let value = parse_chosen_value(text)?;
        let digest = self.store.digest(value.expose());
        let is_current = key.digests.first().is_some_and(|current| current.digest == digest);
        Ok((!is_current).then_some(value))
    }
}

/// Whether a `key` is what was read with the rest of a copy: the id or the value by which the path names the key, or a
/// value that the copy's own mask is of, drawn or of a key that has another one now. A key that was rotated since keeps
/// its new value then.
fn is_unedited_value(key: &ApiKey, name: &KeyRef, text: &str, mask: Option<&str>) -> bool {
    let was_replaced = || key::key_format(text) == KeyFormat::Generated || mask != Some(key.mask.as_str());
    let is_masked = || mask == Some(key::mask(text).as_str()) && was_replaced();
    text == key.id.as_str() || text == name.echoed_key() || is_masked()
}

fn with_status(found: &ApiKey, status: Status, action: Action) -> Transition {
    if found.status == status {
        return Transition::Unchanged;
    }
    let key = ApiKey { status, ..found.clone() };
    Transition::Changed(Box::new(PendingChange { action, key, value: None, stored_response: None }))
}

//! Changing keys: their members, their value, whether they may be used.

use gatepost_domain::change::Action;
use gatepost_domain::id::EventId;
use gatepost_domain::key::{self, Secret, Shape};
use gatepost_domain::record::{ApiKey, KeyDigest, Status};
use gatepost_domain::time::{Timestamp, Version};
use gatepost_store::act::CursorState;
use gatepost_store::{Change, Receipt, Versioned, Write, os_rng};

use super::{KeyFields, KeyName, chosen};
use crate::ControlPlane;
use crate::caller::Caller;
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};
use crate::use_cases::copies::{must_stay, next_status};
use crate::use_cases::given::Given;

/// A key after a change.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) key: ApiKey,
    pub(crate) first_used_at: Option<Timestamp>,
    /// The version at which it is so.
    pub(crate) version: Version,
    /// What stands in the answer's `key`.
    pub(crate) shown: String,
}

impl Changed {
    pub(super) fn new(found: &Versioned<ApiKey>, key: ApiKey, version: Version, shown: &str) -> Self {
        Self { key, first_used_at: found.first_used_at, version, shown: shown.to_owned() }
    }
}

/// What a use case makes of a key that was read.
pub(super) enum Next {
    /// It is so already.
    Same,
    /// This.
    Changed(Box<Changes>),
}

/// A key as it shall be.
pub(super) struct Changes {
    pub(super) action: Action,
    pub(super) key: ApiKey,
    /// Its new value, if it gets one.
    pub(super) value: Option<Secret>,
    /// What a repeated request shall be answered.
    pub(super) receipt: Option<Receipt>,
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
    fn check_fixed(&self, key: &ApiKey) -> Result<()> {
        must_stay("projectId", self.project.as_deref(), key.project.as_str())?;
        must_stay("accountId", self.account.as_deref(), key.account.as_str())?;
        must_stay("env", self.env.as_deref(), key.env.as_str())
    }

    fn is_of_status_alone(&self) -> bool {
        self.status.is_some() && self.fields == KeyFields::default()
    }
}

impl ControlPlane {
    /// Changes what was given. A new `key` is a new value: the old one is refused at once. What revokes the key does so
    /// by the same change as all the rest.
    pub(crate) async fn update_api_key(&self, caller: &Caller, name: &KeyName, change: &KeyChange) -> Result<Changed> {
        self.change_api_key(caller, name, |found| {
            change.check_fixed(found)?;
            let way_back =
                || format!("the key was revoked; PATCH /api-keys/{}/reactivate lets it be used again", found.id);
            let status = next_status(found.status, change.status, way_back)?;
            if change.is_of_status_alone() && status == found.status {
                return Ok(Next::Same);
            }
            let mut key = ApiKey { status, ..found.clone() };
            change.fields.clone().apply(&mut key)?;
            let value = self.new_value(found, name, change)?;
            if let Some(value) = &value {
                key.digests = vec![KeyDigest::current(self.store.digest(value.expose()))];
                key.mask = key::mask(value.expose());
            }
            let action = if status == found.status { Action::ApiKeyUpdated } else { Action::ApiKeyDeleted };
            Ok(Next::Changed(Box::new(Changes { action, key, value, receipt: None })))
        })
        .await
    }

    /// Lets a key be used again. Its first use stays what it was.
    pub(crate) async fn reactivate_api_key(&self, caller: &Caller, name: &KeyName) -> Result<Changed> {
        let on = |found: &ApiKey| Ok(with_status(found, Status::Active, Action::ApiKeyUpdated));
        self.change_api_key(caller, name, on).await
    }

    /// Shuts a key off. Answers the version at which it is off, also if it was before.
    pub(crate) async fn deactivate_api_key(&self, caller: &Caller, name: &KeyName) -> Result<Version> {
        let off = |found: &ApiKey| Ok(with_status(found, Status::Inactive, Action::ApiKeyDeleted));
        self.change_api_key(caller, name, off).await.map(|changed| changed.version)
    }

    /// Reads a key, changes it and writes it, again while others are faster.
    pub(super) async fn change_api_key(
        &self,
        caller: &Caller,
        name: &KeyName,
        next: impl Fn(&ApiKey) -> Result<Next>,
    ) -> Result<Changed> {
        caller.may_write()?;
        for _ in 0..MAX_TRIES {
            let found = self.api_key(caller, name).await?;
            let changes = match next(&found.record)? {
                Next::Changed(changes) => *changes,
                // A repeated request must not rely on what a new master of the store has lost.
                Next::Same => match self.store.confirm(found.version, &found.event).await?.state {
                    CursorState::Present | CursorState::Trimmed => {
                        return Ok(Changed::new(&found, found.record.clone(), found.version, name.shown()));
                    }
                    CursorState::Foreign => continue,
                },
            };
            if changes.action != Action::ApiKeyDeleted {
                self.refuse_if_deleted(&found.record.project).await?;
            }
            let shown = changes.value.as_ref().map_or(name.shown(), Secret::expose).to_owned();
            let (change, key) = self.change_of(caller, &found, changes);
            if let Committed::At(version) = self.commit_change(change).await? {
                return Ok(Changed::new(&found, key, version, &shown));
            }
        }
        Err(too_contended())
    }

    fn change_of(&self, caller: &Caller, found: &Versioned<ApiKey>, changes: Changes) -> (Change, ApiKey) {
        let now = self.now();
        let mut key = ApiKey { stamps: found.record.stamps.touched(now, caller.actor()), ..changes.key };
        key.digests.retain(|value| !value.has_ended(now));
        let change = Change {
            event: EventId::generate(&mut os_rng()),
            action: changes.action,
            actor: caller.actor(),
            writes: vec![Write::replace(found.clone(), key.clone())],
            secret: changes.value,
            receipt: changes.receipt,
        };
        (change, key)
    }

    /// The value that a key shall get; none if it keeps its own.
    fn new_value(&self, key: &ApiKey, name: &KeyName, change: &KeyChange) -> Result<Option<Secret>> {
        let text = match &change.fields.key {
            Given::Absent => return Ok(None),
            Given::Null => return Err(Failure::invalid("key: a key is never without a value")),
            Given::Value(text) => text,
        };
        if is_read(key, name, text, change.mask.as_deref()) {
            return Ok(None);
        }
        let value = chosen(text)?;
        let digest = self.store.digest(value.expose());
        let is_current = key.digests.first().is_some_and(|current| current.digest == digest);
        Ok((!is_current).then_some(value))
    }
}

/// Whether a `key` is what was read with the rest of a copy: the id or the value by which the path names the key, or a
/// value that the copy's own mask is of, drawn or of a key that has another one now. A key that was rotated since keeps
/// its new value then.
fn is_read(key: &ApiKey, name: &KeyName, text: &str, mask: Option<&str>) -> bool {
    let was_replaced = || key::shape(text) == Shape::Generated || mask != Some(key.mask.as_str());
    let is_masked = || mask == Some(key::mask(text).as_str()) && was_replaced();
    text == key.id.as_str() || text == name.shown() || is_masked()
}

fn with_status(found: &ApiKey, status: Status, action: Action) -> Next {
    if found.status == status {
        return Next::Same;
    }
    let key = ApiKey { status, ..found.clone() };
    Next::Changed(Box::new(Changes { action, key, value: None, receipt: None }))
}

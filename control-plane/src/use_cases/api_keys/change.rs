//! Changing keys: their members, their value, whether they may be used.

use gatepost_domain::change::Action;
use gatepost_domain::id::EventId;
use gatepost_domain::key::{self, Secret};
use gatepost_domain::record::{ApiKey, KeyDigest, Status};
use gatepost_domain::time::{Timestamp, Version};
use gatepost_store::act::CursorState;
use gatepost_store::{Change, Receipt, Versioned, Write, os_rng};

use super::{KeyFields, KeyName, chosen};
use crate::ControlPlane;
use crate::caller::Caller;
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};
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
    pub(super) key: ApiKey,
    /// Its new value, if it gets one.
    pub(super) value: Option<Secret>,
    /// What a repeated request shall be answered.
    pub(super) receipt: Option<Receipt>,
}

impl ControlPlane {
    /// Changes what was given. A new `key` is a new value: the old one is refused at once.
    pub(crate) async fn update_api_key(&self, caller: &Caller, name: &KeyName, fields: &KeyFields) -> Result<Changed> {
        self.change_api_key(caller, name, Action::ApiKeyUpdated, |found| {
            let mut key = found.clone();
            fields.clone().apply(&mut key)?;
            let value = self.new_value(found, &fields.key)?;
            if let Some(value) = &value {
                key.digests = vec![KeyDigest::current(self.store.digest(value.expose()))];
                key.mask = key::mask(value.expose());
            }
            Ok(Next::Changed(Box::new(Changes { key, value, receipt: None })))
        })
        .await
    }

    /// Lets a key be used again. Its first use stays what it was.
    pub(crate) async fn reactivate_api_key(&self, caller: &Caller, name: &KeyName) -> Result<Changed> {
        self.change_api_key(caller, name, Action::ApiKeyUpdated, |found| Ok(with_status(found, Status::Active))).await
    }

    /// Shuts a key off. Answers the version at which it is off, also if it was before.
    pub(crate) async fn deactivate_api_key(&self, caller: &Caller, name: &KeyName) -> Result<Version> {
        let off = |found: &ApiKey| Ok(with_status(found, Status::Inactive));
        self.change_api_key(caller, name, Action::ApiKeyDeleted, off).await.map(|changed| changed.version)
    }

    /// Reads a key, changes it and writes it, again while others are faster.
    pub(super) async fn change_api_key(
        &self,
        caller: &Caller,
        name: &KeyName,
        action: Action,
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
            let shown = changes.value.as_ref().map_or(name.shown(), Secret::expose).to_owned();
            let (change, key) = self.change_of(caller, action, &found, changes);
            if let Committed::At(version) = self.commit_change(change).await? {
                return Ok(Changed::new(&found, key, version, &shown));
            }
        }
        Err(too_contended())
    }

    fn change_of(
        &self,
        caller: &Caller,
        action: Action,
        found: &Versioned<ApiKey>,
        changes: Changes,
    ) -> (Change, ApiKey) {
        let now = self.now();
        let mut key = ApiKey { stamps: found.record.stamps.touched(now, caller.actor()), ..changes.key };
        key.digests.retain(|value| !value.has_ended(now));
        let change = Change {
            event: EventId::generate(&mut os_rng()),
            action,
            actor: caller.actor(),
            writes: vec![Write::replace(found.clone(), key.clone())],
            secret: changes.value,
            receipt: changes.receipt,
        };
        (change, key)
    }

    /// The value that a key shall get; none if it keeps its own. A client that sends back what a list
    /// told it sends the key's id.
    fn new_value(&self, key: &ApiKey, given: &Given<String>) -> Result<Option<Secret>> {
        let text = match given {
            Given::Absent => return Ok(None),
            Given::Null => return Err(Failure::invalid("key: a key is never without a value")),
            Given::Value(text) => text,
        };
        if text == key.id.as_str() {
            return Ok(None);
        }
        let value = chosen(text)?;
        let digest = self.store.digest(value.expose());
        let is_current = key.digests.first().is_some_and(|current| current.digest == digest);
        Ok((!is_current).then_some(value))
    }
}

fn with_status(found: &ApiKey, status: Status) -> Next {
    if found.status == status {
        return Next::Same;
    }
    let key = ApiKey { status, ..found.clone() };
    Next::Changed(Box::new(Changes { key, value: None, receipt: None }))
}

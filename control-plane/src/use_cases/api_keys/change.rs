//! Changing keys: their members, their value, whether they may be used.

use gatepost_domain::change::Action;
use gatepost_domain::key::{self, Secret};
use gatepost_domain::record::{ApiKey, KeyDigest, Status};
use gatepost_domain::time::{Timestamp, Version};
use gatepost_store::act::CursorState;
use gatepost_store::{Versioned, Write};

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

/// What a writer makes of a key that was read.
enum Next {
    /// It is so already.
    Same,
    /// This, with a new value if it gets one.
    Changed(Box<ApiKey>, Option<Secret>),
}

impl ControlPlane {
    /// Changes what was given. A new `key` is a new value: the old one is refused at once.
    pub(crate) async fn update_api_key(&self, caller: &Caller, name: &KeyName, fields: &KeyFields) -> Result<Changed> {
        self.change_api_key(caller, name, Action::ApiKeyUpdated, |found| {
            let mut key = found.clone();
            fields.clone().apply(&mut key)?;
            let renamed = self.new_value(found, &fields.key)?;
            if let Some(value) = &renamed {
                let digest = self.store.digest(value.expose());
                key.digests = vec![KeyDigest { digest, until: None }];
                key.mask = key::mask(value.expose());
            }
            Ok(Next::Changed(Box::new(key), renamed))
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
    async fn change_api_key(
        &self,
        caller: &Caller,
        name: &KeyName,
        action: Action,
        next: impl Fn(&ApiKey) -> Result<Next>,
    ) -> Result<Changed> {
        caller.may_write()?;
        for _ in 0..MAX_TRIES {
            let found = self.api_key(caller, name).await?;
            let (key, secret) = match next(&found.record)? {
                Next::Changed(key, secret) => (key, secret),
                // A repeated request must not rely on what a new master of the store has lost.
                Next::Same => match self.store.confirm(found.version, &found.event).await?.state {
                    CursorState::Present | CursorState::Trimmed => {
                        return Ok(Changed::new(&found, found.record.clone(), found.version, name.shown()));
                    }
                    CursorState::Foreign => continue,
                },
            };
            let key = ApiKey { stamps: key.stamps.touched(self.now(), caller.actor()), ..*key };
            let writes = vec![Write::replace(found.clone(), key.clone())];
            if let Committed::At(version) = self.commit(action, &caller.actor(), writes, secret.clone()).await? {
                let shown = secret.as_ref().map_or(name.shown(), Secret::expose);
                return Ok(Changed::new(&found, key, version, shown));
            }
        }
        Err(too_contended())
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
    Next::Changed(Box::new(ApiKey { status, ..found.clone() }), None)
}

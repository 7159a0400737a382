//! Access keys, as callers of the admin API manage them.

use gatepost_domain::change::Action;
use gatepost_domain::id::{AccessKeyId, AccountId, ProjectId};
use gatepost_domain::key::{self, Secret};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Actor, Role, Stamps, Status};
use gatepost_domain::time::Timestamp;
use gatepost_store::{Versioned, Write, os_rng};

use super::copies::{must_stay, next_status};
use super::given::Given;
use super::lists::{Part, Range};
use super::text;
use crate::ControlPlane;
use crate::caller::{Caller, Sight};
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};
use crate::request;

/// What a new access key may do unless something else is asked for: all that the hosted product's clients do.
const DEFAULT_ROLE: Role = Role::User;

/// An access key that a caller asks for.
#[derive(Debug, Default)]
pub(crate) struct AskedAccessKey {
    pub(crate) name: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) expiry: Option<String>,
}

/// An access key that shall be.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) account: AccountId,
    pub(super) project: Option<ProjectId>,
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) expires_at: Option<Timestamp>,
}

/// A change of an access key as a caller asks for it, perhaps as a copy of the whole access key.
#[derive(Debug, Default)]
pub(crate) struct AccessKeyChange {
    pub(crate) name: Given<String>,
    pub(crate) status: Option<Status>,
    pub(crate) account: Option<String>,
    pub(crate) project: Given<String>,
    pub(crate) role: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) expiry: Given<String>,
    pub(crate) expires_at: Given<String>,
}

/// Which access keys of a list are wanted.
#[derive(Debug, Default)]
pub(crate) struct AccessKeyFilter {
    pub(crate) account: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) status: Option<Status>,
}

/// How a path names an access key: by its value, which is then echoed, or by its id.
#[derive(Debug, Clone)]
pub(crate) enum AccessKeyName {
    Value(Secret),
    Id(AccessKeyId),
}

impl AccessKeyName {
    /// Reads the last part of a path.
    pub(crate) fn parse(text: &str) -> Self {
        match AccessKeyId::parse(text) {
            Ok(id) => AccessKeyName::Id(id),
            Err(_) => AccessKeyName::Value(Secret::new(text.to_owned())),
        }
    }

    /// What stands in the answer's `key`.
    pub(crate) fn shown(&self) -> &str {
        match self {
            AccessKeyName::Value(secret) => secret.expose(),
            AccessKeyName::Id(id) => id.as_str(),
        }
    }
}

impl ControlPlane {
    /// Makes an access key that sees no more than its maker, and answers its value: the only time that it is told.
    pub(crate) async fn create_access_key_for(
        &self,
        caller: &Caller,
        asked: AskedAccessKey,
    ) -> Result<(AccessKey, Secret)> {
        caller.may_administer()?;
        caller.check_account(asked.account.as_deref())?;
        let project = match (asked.project.as_deref(), &caller.project) {
            (None, None) => None,
            (named, _) => Some(self.active_project(caller, named).await?.id),
        };
        let role = asked.role.as_deref().map_or(Some(DEFAULT_ROLE), Role::parse);
        let wanted = Wanted {
            account: caller.account.clone(),
            project,
            role: role.ok_or_else(|| Failure::invalid("role: must be admin, user or viewer"))?,
            name: text::name(asked.name)?,
            expires_at: self.future_expiry(asked.expiry)?,
        };
        let (access_key, secret) = self.new_access_key(wanted, caller.actor())?;
        let writes = vec![Write::create(access_key.clone())];
        match self.commit(Action::AccessKeyCreated, &caller.actor(), writes, Some(secret.clone())).await? {
            Committed::At(_) => Ok((access_key, secret)),
            Committed::Stale => Err(too_contended()),
        }
    }

    /// The moment from which a new access key may not be used any more.
    fn future_expiry(&self, expiry: Option<String>) -> Result<Option<Timestamp>> {
        let expires_at = expiry.map(|text| text::moment("expiry", &text)).transpose()?;
        if expires_at.is_some_and(|expires_at| expires_at <= self.now()) {
            return Err(Failure::invalid("expiry: is in the past"));
        }
        Ok(expires_at)
    }

    /// An access key that is not yet in the store, with its value.
    pub(super) fn new_access_key(&self, wanted: Wanted, by: Actor) -> Result<(AccessKey, Secret)> {
        let secret = key::generate_access_key(&mut os_rng());
        Ok((self.access_key_with(&secret, wanted, by)?, secret))
    }

    /// The same with a value that was drawn before.
    pub(super) fn access_key_with(&self, secret: &Secret, wanted: Wanted, by: Actor) -> Result<AccessKey> {
        Ok(AccessKey {
            id: AccessKeyId::generate(&mut os_rng()),
            account: wanted.account,
            project: wanted.project,
            role: wanted.role,
            name: text::name(Some(wanted.name))?,
            status: Status::Active,
            mask: key::mask(secret.expose()),
            digest: self.store.digest(secret.expose()),
            expires_at: wanted.expires_at,
            stamps: Stamps::new(self.now(), by),
        })
    }

    /// A part of the list of access keys that the caller sees.
    pub(crate) async fn access_keys(
        &self,
        caller: &Caller,
        filter: &AccessKeyFilter,
        range: &Range,
    ) -> Result<Part<AccessKey>> {
        caller.check_account(filter.account.as_deref())?;
        let is_wanted = |key: &AccessKey| {
            caller.sees_of(&key.account, key.project.as_ref()) == Sight::Seen
                && filter.status.is_none_or(|status| status == key.status)
                && filter
                    .project
                    .as_deref()
                    .is_none_or(|wanted| key.project.as_ref().is_some_and(|own| own.as_str() == wanted))
        };
        let page = |after: String, limit| async move { self.store.access_keys(&caller.account, &after, limit).await };
        self.read_list(caller, "access-keys", range, page, is_wanted).await
    }

    /// Gives an access key another name, or revokes it as deleting it does. All else is fixed for its life.
    pub(crate) async fn update_access_key(
        &self,
        caller: &Caller,
        name: &AccessKeyName,
        change: &AccessKeyChange,
    ) -> Result<AccessKey> {
        let new_name = text::changed_name(&change.name, change.status)?;
        let next = |key: &AccessKey| {
            self.check_fixed(change, name, key)?;
            let way_back =
                || format!("the access key was revoked; PATCH /access-keys/{}/reactivate lets it in again", key.id);
            let status = next_status(key.status, change.status, way_back)?;
            let name = new_name.clone().unwrap_or_else(|| key.name.clone());
            let action = if status == key.status { Action::AccessKeyUpdated } else { Action::AccessKeyDeleted };
            Ok((action, AccessKey { name, status, ..key.clone() }))
        };
        self.change_access_key(caller, name, next).await
    }

    fn check_fixed(&self, change: &AccessKeyChange, name: &AccessKeyName, key: &AccessKey) -> Result<()> {
        must_stay("accountId", change.account.as_deref(), key.account.as_str())?;
        must_stay("role", change.role.as_deref(), key.role.as_str())?;
        for (member, asked) in [("expiry", &change.expiry), ("expiresAt", &change.expires_at)] {
            expiry_must_stay(member, asked, key.expires_at)?;
        }
        match (&change.project, &key.project) {
            (Given::Absent, _) | (Given::Null, None) => {}
            (Given::Value(asked), Some(own)) => must_stay("projectId", Some(asked), own.as_str())?,
            (Given::Null, Some(own)) => must_stay("projectId", Some("null"), own.as_str())?,
            (Given::Value(asked), None) => must_stay("projectId", Some(asked), "null")?,
        }
        let is_own =
            |value: &str| value == name.shown() || value == key.id.as_str() || self.store.digest(value) == key.digest;
        must_stay("key", change.key.as_deref().filter(|value| !is_own(value)), key.id.as_str())
    }

    /// Revokes an access key.
    pub(crate) async fn deactivate_access_key(&self, caller: &Caller, name: &AccessKeyName) -> Result<AccessKey> {
        let off =
            |key: &AccessKey| Ok((Action::AccessKeyDeleted, AccessKey { status: Status::Inactive, ..key.clone() }));
        self.change_access_key(caller, name, off).await
    }

    /// Lets an access key in again.
    pub(crate) async fn reactivate_access_key(&self, caller: &Caller, name: &AccessKeyName) -> Result<AccessKey> {
        let on = |key: &AccessKey| Ok((Action::AccessKeyUpdated, AccessKey { status: Status::Active, ..key.clone() }));
        self.change_access_key(caller, name, on).await
    }

    /// Changes an access key; one that is as it shall be already is left alone, and nobody is told.
    async fn change_access_key(
        &self,
        caller: &Caller,
        name: &AccessKeyName,
        change: impl Fn(&AccessKey) -> Result<(Action, AccessKey)>,
    ) -> Result<AccessKey> {
        caller.may_administer()?;
        for _ in 0..MAX_TRIES {
            let found = self.access_key(caller, name).await?;
            let (action, changed) = change(&found.record)?;
            if changed == found.record {
                return Ok(changed);
            }
            if let Some(project) = found.record.project.as_ref().filter(|_| action != Action::AccessKeyDeleted) {
                self.refuse_if_deleted(project).await?;
            }
            let stamps = found.record.stamps.touched(self.now(), caller.actor());
            let changed = AccessKey { stamps, ..changed };
            let writes = vec![Write::replace(found, changed.clone())];
            if let Committed::At(_) = self.commit(action, &caller.actor(), writes, None).await? {
                return Ok(changed);
            }
        }
        Err(too_contended())
    }

    async fn access_key(&self, caller: &Caller, name: &AccessKeyName) -> Result<Versioned<AccessKey>> {
        let found = match name {
            AccessKeyName::Id(id) => self.store.access_key(id).await?,
            AccessKeyName::Value(value) => self.store.access_key_by_digest(&self.store.digest(value.expose())).await?,
        };
        let found = found
            .filter(|found| caller.sees_of(&found.record.account, found.record.project.as_ref()) == Sight::Seen)
            .ok_or_else(|| Failure::refused(ErrorCode::NotFound, "there is no such access key"))?;
        request::saw(found.record.id.as_str(), found.version)?;
        Ok(found)
    }
}

fn expiry_must_stay(member: &str, asked: &Given<String>, own: Option<Timestamp>) -> Result<()> {
    let asked = match asked {
        Given::Absent => return Ok(()),
        Given::Null => None,
        Given::Value(text) => Some(text::moment(member, text)?),
    };
    let shown = |moment: Option<Timestamp>| moment.map_or("null".to_owned(), |moment| moment.to_string());
    must_stay(member, Some(&shown(asked)), &shown(own))
}

//! Accounts.

use gatepost_domain::change::Action;
use gatepost_domain::id::AccountId;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Account, Actor, Role, Stamps, Status};
use gatepost_domain::time::Version;
use gatepost_store::{Versioned, Write, os_rng};

use super::access_keys::Wanted;
use super::text;
use crate::ControlPlane;
use crate::caller::Caller;
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};
use crate::request;

/// The name of an account's first access key.
const FIRST_ACCESS_KEY: &str = "first access key";

/// An account with its first access key, whose value is told only now.
#[derive(Debug)]
pub(crate) struct NewAccount {
    pub(crate) account: Account,
    pub(crate) access_key: AccessKey,
    pub(crate) secret: Secret,
}

impl ControlPlane {
    /// Makes an account with an access key, without which nobody could act for it. Only admins of the store's
    /// first account may: they are the operator's, and from the second account on every route of a gateway must
    /// name its projects.
    pub(crate) async fn create_account(&self, caller: &Caller, name: Option<String>) -> Result<NewAccount> {
        caller.may_administer()?;
        caller.sees_account()?;
        let first = self.store.accounts("", 1).await?.items;
        if first.first().is_none_or(|first| first.record.id != caller.account) {
            return Err(Failure::refused(ErrorCode::Forbidden, "accounts are made by admins of the first account"));
        }
        let account = self.new_account(name, caller.actor())?;
        let wanted =
            Wanted { account: account.id.clone(), project: None, role: Role::Admin, name: FIRST_ACCESS_KEY.to_owned() };
        let (access_key, secret) = self.new_access_key(wanted, caller.actor())?;
        let writes = vec![Write::create(account.clone()), Write::create(access_key.clone())];
        match self.commit(Action::AccountCreated, &caller.actor(), writes, None).await? {
            Committed::At(_) => Ok(NewAccount { account, access_key, secret }),
            Committed::Stale => Err(too_contended()),
        }
    }

    /// An account that is not yet in the store.
    pub(super) fn new_account(&self, name: Option<String>, by: Actor) -> Result<Account> {
        Ok(Account {
            id: AccountId::generate(&mut os_rng()),
            name: text::name(name)?,
            status: Status::Active,
            stamps: Stamps::new(self.now(), by),
        })
    }

    /// The caller's account, if it is the one that was named: there is no other for them.
    pub(crate) async fn account(&self, caller: &Caller, id: &str) -> Result<Versioned<Account>> {
        let not_found = || Failure::refused(ErrorCode::NotFound, "there is no such account");
        if id != caller.account.as_str() {
            return Err(not_found());
        }
        let found = self.store.account(&caller.account).await?.ok_or_else(not_found)?;
        request::saw(id, found.version)?;
        Ok(found)
    }

    /// Gives an account another name.
    pub(crate) async fn rename_account(&self, caller: &Caller, id: &str, name: Option<String>) -> Result<Account> {
        let name = text::name(name)?;
        for _ in 0..MAX_TRIES {
            let found = self.own_account(caller, id).await?;
            let stamps = found.record.stamps.touched(self.now(), caller.actor());
            let renamed = Account { name: name.clone(), stamps, ..found.record.clone() };
            let writes = vec![Write::replace(found, renamed.clone())];
            if let Committed::At(_) = self.commit(Action::AccountUpdated, &caller.actor(), writes, None).await? {
                return Ok(renamed);
            }
        }
        Err(too_contended())
    }

    /// Shuts an account off: first each of its projects, so that webhooks hear of them and whoever repeats a request
    /// that ended half way goes on with it, then the account, whose access keys are refused from then on. A project
    /// that somebody made in between is shut off after it.
    pub(crate) async fn deactivate_account(&self, caller: &Caller, id: &str) -> Result<Version> {
        self.own_account(caller, id).await?;
        self.deactivate_projects(caller).await?;
        let version = self.deactivate_account_alone(caller, id).await?;
        Ok(self.deactivate_projects(caller).await?.unwrap_or(version))
    }

    async fn deactivate_account_alone(&self, caller: &Caller, id: &str) -> Result<Version> {
        for _ in 0..MAX_TRIES {
            let found = self.own_account(caller, id).await?;
            let ended = if found.record.status == Status::Inactive {
                self.standing(&found).await?
            } else {
                let stamps = found.record.stamps.touched(self.now(), caller.actor());
                let off = Account { status: Status::Inactive, stamps, ..found.record.clone() };
                let writes = vec![Write::replace(found, off)];
                self.commit(Action::AccountDeleted, &caller.actor(), writes, None).await?
            };
            if let Committed::At(version) = ended {
                return Ok(version);
            }
        }
        Err(too_contended())
    }

    /// Shuts all projects of the caller's account off, and answers the last version; none if there was nothing to do.
    async fn deactivate_projects(&self, caller: &Caller) -> Result<Option<Version>> {
        let mut last = None;
        for project in self.projects(caller, None).await? {
            last = Some(self.deactivate_project(caller, project.id.as_str()).await?);
        }
        Ok(last)
    }

    /// The caller's account, for those who may manage it.
    async fn own_account(&self, caller: &Caller, id: &str) -> Result<Versioned<Account>> {
        let found = self.account(caller, id).await?;
        caller.may_administer()?;
        caller.sees_account()?;
        Ok(found)
    }
}

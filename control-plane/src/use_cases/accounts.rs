//! Accounts.

use gatepost_domain::change::Action;
use gatepost_domain::id::AccountId;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Account, Actor, Role, Stamps, Status};
use gatepost_domain::time::Version;
use gatepost_store::{Page, RecordWrite, Versioned, os_rng};

use super::access_keys::AccessKeySpec;
use super::lists::{ListPage, PageRequest};
use super::patch::Patch;
use super::text;
use super::update_rules::next_status;
use crate::ControlPlane;
use crate::caller::Caller;
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};
use crate::request_context;

/// The name of an account's first access key.
const FIRST_ACCESS_KEY: &str = "first access key";

/// An account with its first access key, whose value is told only now.
#[derive(Debug)]
pub(crate) struct NewAccount {
    pub(crate) account: Account,
    pub(crate) access_key: AccessKey,
    pub(crate) secret: Secret,
}

/// A change of an account as a caller asks for it, perhaps as a copy of the whole account.
#[derive(Debug, Default)]
pub(crate) struct AccountChange {
    pub(crate) name: Patch<String>,
    pub(crate) status: Option<Status>,
}

/// An account, and the version at which it and all that ended with it is so.
#[derive(Debug)]
pub(crate) struct CommittedAccount {
    pub(crate) account: Account,
    pub(crate) version: Version,
}

impl ControlPlane {
    /// Makes an account with an access key, without which nobody could act for it. Only admins of the store's
    /// first account may: they are the operator's, and from the second account on every route of a gateway must
    /// name its projects.
    pub(crate) async fn create_account(&self, caller: &Caller, name: Option<String>) -> Result<NewAccount> {
        caller.require_admin()?;
        caller.require_account_scope()?;
        let first = self.store.accounts("", 1).await?.items;
        if first.first().is_none_or(|first| first.record.id != caller.account) {
            return Err(Failure::refused(ErrorCode::Forbidden, "accounts are made by admins of the first account"));
        }
        let account = self.build_account(name, caller.actor())?;
        let spec = AccessKeySpec {
            account: account.id.clone(),
            project: None,
            role: Role::Admin,
            name: FIRST_ACCESS_KEY.to_owned(),
            expires_at: None,
        };
        let (access_key, secret) = self.generate_access_key(spec, caller.actor())?;
        let writes = vec![RecordWrite::create(account.clone()), RecordWrite::create(access_key.clone())];
        match self.commit(Action::AccountCreated, &caller.actor(), writes, None).await? {
            Committed::At(_) => Ok(NewAccount { account, access_key, secret }),
            Committed::Stale => Err(too_contended()),
        }
    }

    /// An account that is not yet in the store.
    pub(super) fn build_account(&self, name: Option<String>, by: Actor) -> Result<Account> {
        Ok(Account {
            id: AccountId::generate(&mut os_rng()),
            name: text::parse_name(name)?,
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
        request_context::check_version(id, found.version)?;
        Ok(found)
    }

    /// A part of the list of accounts that the caller acts for, which has one.
    pub(crate) async fn accounts(&self, caller: &Caller, page_request: &PageRequest) -> Result<ListPage<Account>> {
        let found = self.account(caller, caller.account.as_str()).await?;
        let page = |_, _| {
            std::future::ready(Ok(Page { items: vec![found.clone()], positions: vec![String::new()], next: None }))
        };
        self.read_list(caller, "accounts", page_request, page, |_| true).await
    }

    /// Gives an account another name, or ends it as deleting it does.
    pub(crate) async fn update_account(
        &self,
        caller: &Caller,
        id: &str,
        change: &AccountChange,
    ) -> Result<CommittedAccount> {
        let name = text::parse_changed_name(&change.name, change.status)?;
        let found = self.administrable_account(caller, id).await?;
        next_status(found.record.status, change.status, deleted_account_hint)?;
        if change.status == Some(Status::Inactive) {
            return self.deactivate_account_and_projects(caller, id, name).await;
        }
        self.change_account(caller, id, |found| {
            next_status(found.status, change.status, deleted_account_hint)?;
            let renamed = |name: &String| (Action::AccountUpdated, Account { name: name.clone(), ..found.clone() });
            Ok(name.as_ref().map(renamed))
        })
        .await
    }

    /// Deactivates an account, for good.
    pub(crate) async fn deactivate_account(&self, caller: &Caller, id: &str) -> Result<Version> {
        self.administrable_account(caller, id).await?;
        self.deactivate_account_and_projects(caller, id, None).await.map(|ended| ended.version)
    }

    /// Deactivates an account: first each of its projects, so that webhooks hear of them and whoever repeats a request
    /// that ended half way goes on with it, then the account, whose access keys are refused from then on. A project
    /// that somebody made in between is deactivated after it.
    async fn deactivate_account_and_projects(
        &self,
        caller: &Caller,
        id: &str,
        name: Option<String>,
    ) -> Result<CommittedAccount> {
        self.deactivate_projects(caller).await?;
        let deactivated = self.change_account(caller, id, |found| {
            if found.status == Status::Inactive {
                return Ok(None);
            }
            let name = name.clone().unwrap_or_else(|| found.name.clone());
            Ok(Some((Action::AccountDeleted, Account { name, status: Status::Inactive, ..found.clone() })))
        });
        let deactivated = deactivated.await?;
        let version = self.deactivate_projects(caller).await?.unwrap_or(deactivated.version);
        Ok(CommittedAccount { version, ..deactivated })
    }

    /// Reads the caller's account, changes it and writes it, again while others are faster; none leaves it as it is.
    async fn change_account(
        &self,
        caller: &Caller,
        id: &str,
        change: impl Fn(&Account) -> Result<Option<(Action, Account)>>,
    ) -> Result<CommittedAccount> {
        for _ in 0..MAX_TRIES {
            let found = self.administrable_account(caller, id).await?;
            let Some((action, changed)) = change(&found.record)? else {
                match self.confirm_unchanged(&found).await? {
                    Committed::At(version) => return Ok(CommittedAccount { account: found.record, version }),
                    Committed::Stale => continue,
                }
            };
            let stamps = found.record.stamps.updated(self.now(), caller.actor());
            let account = Account { stamps, ..changed };
            let writes = vec![RecordWrite::replace(found, account.clone())];
            if let Committed::At(version) = self.commit(action, &caller.actor(), writes, None).await? {
                return Ok(CommittedAccount { account, version });
            }
        }
        Err(too_contended())
    }

    /// Shuts all projects of the caller's account off, and answers the last version; none if there was nothing to do.
    async fn deactivate_projects(&self, caller: &Caller) -> Result<Option<Version>> {
        let mut last = None;
        for (_, project) in self.projects_by_position(caller).await? {
            last = Some(self.deactivate_project(caller, project.id.as_str()).await?);
        }
        Ok(last)
    }

    /// The caller's account, for those who may manage it.
    async fn administrable_account(&self, caller: &Caller, id: &str) -> Result<Versioned<Account>> {
        let found = self.account(caller, id).await?;
        caller.require_admin()?;
        caller.require_account_scope()?;
        Ok(found)
    }
}

/// What is said of a deleted account that shall be active. Nobody can act for it who could read this, unless it was
/// deleted at this very moment.
fn deleted_account_hint() -> String {
    "the account was deleted, for good: only keys and access keys have a /reactivate".to_owned()
}

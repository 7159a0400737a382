//! What the operator does on the command line: access keys, and the first account with them.

use gatepost_domain::change::Action;
use gatepost_domain::id::{AccessKeyId, AccountId, ProjectId};
use gatepost_domain::key::{self, Secret};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Account, Actor, Role, Status};
use gatepost_store::{MAX_PAGE, RecordWrite, os_rng};

use super::access_keys::AccessKeySpec;
use crate::ControlPlane;
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};

/// The account that a store's first access key makes.
const FIRST_ACCOUNT: &str = "default";

/// An access key that the operator wants.
#[derive(Debug, Clone)]
pub struct NewAccessKey {
    /// The account's name or id; made if there is none of that name. Absent for the only account.
    pub account_name: Option<String>,
    /// The only project that it shall see.
    pub project: Option<String>,
    /// What it shall be allowed.
    pub role: Role,
    /// Its own name.
    pub name: String,
}

/// An access key with its value, which is told only now.
#[derive(Debug, Clone)]
pub struct CreatedAccessKey {
    /// Its record.
    pub access_key: AccessKey,
    /// Its value.
    pub secret: Secret,
    /// What was done for it.
    pub account_outcome: AccountOutcome,
}

/// The account of an access key that the operator has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountOutcome {
    /// It was there before.
    Existing,
    /// It was made, the first one of the store.
    First,
    /// It was made beside others: from now on every route of a gateway must name its projects.
    Added,
}

/// Where an access key shall belong.
enum AccountLookup {
    Existing(AccountId),
    New(Box<Account>, AccountOutcome),
}

impl ControlPlane {
    /// Makes an access key for the operator, and its account where there is none of that name, in one change.
    pub async fn create_access_key(&self, new: NewAccessKey) -> std::result::Result<CreatedAccessKey, Failure> {
        self.create_access_key_from_secret(&key::generate_access_key(&mut os_rng()), &new).await
    }

    /// The same with a value that was drawn before, so that it can be kept before it counts.
    pub async fn create_access_key_from_secret(
        &self,
        secret: &Secret,
        new: &NewAccessKey,
    ) -> std::result::Result<CreatedAccessKey, Failure> {
        for _ in 0..MAX_TRIES {
            let lookup = self.look_up_account(new.account_name.as_deref()).await?;
            let (id, account, account_outcome) = match lookup {
                AccountLookup::Existing(id) => (id, None, AccountOutcome::Existing),
                AccountLookup::New(account, outcome) => (account.id.clone(), Some(account), outcome),
            };
            let project = self.find_project(new.project.as_deref(), &id).await?;
            let spec = AccessKeySpec { account: id, project, role: new.role, name: new.name.clone(), expires_at: None };
            let access_key = self.access_key_from_secret(secret, spec, Actor::Operator)?;
            let (action, event_secret) = match &account {
                Some(_) => (Action::AccountCreated, None),
                None => (Action::AccessKeyCreated, Some(secret.clone())),
            };
            let writes = account.into_iter().map(|account| RecordWrite::create(*account));
            let writes = writes.chain([RecordWrite::create(access_key.clone())]).collect();
            if let Committed::At(_) = self.commit(action, &Actor::Operator, writes, event_secret).await? {
                return Ok(CreatedAccessKey { access_key, secret: secret.clone(), account_outcome });
            }
        }
        Err(too_contended())
    }

    /// Revokes an access key for the operator; one that is revoked already is left alone.
    pub async fn revoke_access_key(&self, id: &str) -> std::result::Result<(), Failure> {
        let not_found = || Failure::refused(ErrorCode::NotFound, "there is no such access key");
        let id = AccessKeyId::parse(id).map_err(|_| not_found())?;
        for _ in 0..MAX_TRIES {
            let found = self.store.access_key(&id).await?.ok_or_else(not_found)?;
            if found.record.status == Status::Inactive {
                return Ok(());
            }
            let stamps = found.record.stamps.updated(self.now(), Actor::Operator);
            let revoked = AccessKey { status: Status::Inactive, stamps, ..found.record.clone() };
            let writes = vec![RecordWrite::replace(found, revoked)];
            if let Committed::At(_) = self.commit(Action::AccessKeyDeleted, &Actor::Operator, writes, None).await? {
                return Ok(());
            }
        }
        Err(too_contended())
    }

    /// Whether anyone could call the admin API: without an active access key, nobody can.
    pub async fn has_access_keys(&self) -> std::result::Result<bool, Failure> {
        for account in self.active_accounts().await? {
            let mut after = String::new();
            loop {
                let page = self.store.access_keys(&account.id, &after, MAX_PAGE).await?;
                if page.items.iter().any(|found| found.record.status == Status::Active) {
                    return Ok(true);
                }
                match page.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
        }
        Ok(false)
    }

    /// Whether a value is that of an active access key.
    pub async fn is_access_key(&self, value: &str) -> std::result::Result<bool, Failure> {
        let found = self.store.access_key_by_digest(&self.store.digest(value)).await?;
        Ok(found.is_some_and(|found| found.record.status == Status::Active))
    }

    /// The account of a name or an id. Tenants choose their names, so one name may stand for several.
    async fn look_up_account(&self, name: Option<&str>) -> Result<AccountLookup> {
        let accounts = self.active_accounts().await?;
        let is_named = |account: &&Account| name.is_none_or(|name| account.name == name || account.id.as_str() == name);
        let found: Vec<&Account> = accounts.iter().filter(is_named).collect();
        let name = match (found.as_slice(), name) {
            ([only], _) => return Ok(AccountLookup::Existing(only.id.clone())),
            ([], Some(name)) if AccountId::parse(name).is_ok() => {
                return Err(Failure::refused(ErrorCode::NotFound, format!("there is no account {name}")));
            }
            ([], Some(name)) => name,
            ([], None) => FIRST_ACCOUNT,
            (_, None) => return Err(Failure::invalid("there are several accounts: name one with --account-name")),
            (_, Some(_)) => {
                return Err(Failure::invalid("there are several accounts of this name: name one by its id"));
            }
        };
        let mut account = self.build_account(Some(name.to_owned()), Actor::Operator)?;
        let of_name = AccountId::from_name(name);
        match self.store.account(&of_name).await?.map(|found| found.record) {
            None => account.id = of_name,
            // Somebody was faster.
            Some(made) if made.name == name && made.status == Status::Active => {
                return Ok(AccountLookup::Existing(made.id));
            }
            // It was made under this name, and keeps its id under another one or when it is shut off.
            Some(_) => {}
        }
        let outcome = if accounts.is_empty() { AccountOutcome::First } else { AccountOutcome::Added };
        Ok(AccountLookup::New(Box::new(account), outcome))
    }

    async fn active_accounts(&self) -> Result<Vec<Account>> {
        let (mut accounts, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.store.accounts(&after, MAX_PAGE).await?;
            let active = page.items.into_iter().map(|found| found.record);
            accounts.extend(active.filter(|account| account.status == Status::Active));
            match page.next {
                Some(next) => after = next,
                None => return Ok(accounts),
            }
        }
    }

    async fn find_project(&self, named: Option<&str>, account: &AccountId) -> Result<Option<ProjectId>> {
        let Some(named) = named else { return Ok(None) };
        let not_found = || Failure::refused(ErrorCode::NotFound, format!("there is no project {named} in the account"));
        let id = ProjectId::parse(named).map_err(|_| not_found())?;
        let project = self.store.project(&id).await?.ok_or_else(not_found)?.record;
        if project.account == *account { Ok(Some(id)) } else { Err(not_found()) }
    }
}

//! What the operator does on the command line: access keys, and the first account with them.

use gatepost_domain::change::Action;
use gatepost_domain::id::{AccountId, ProjectId};
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Account, Actor, Role, Status};
use gatepost_store::{MAX_PAGE, Write};

use super::access_keys::Wanted;
use crate::ControlPlane;
use crate::commit::{Committed, too_contended};
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
pub struct Created {
    /// Its record.
    pub access_key: AccessKey,
    /// Its value.
    pub secret: Secret,
}

impl ControlPlane {
    /// Makes an access key for the operator, and the account on a store that has none.
    pub async fn create_access_key(&self, new: NewAccessKey) -> std::result::Result<Created, Failure> {
        let account = self.account_of(new.account_name.as_deref()).await?;
        let project = self.project_of(new.project.as_deref(), &account).await?;
        let wanted = Wanted { account, project, role: new.role, name: new.name };
        let (access_key, secret) = self.new_access_key(wanted, Actor::Operator)?;
        let writes = vec![Write::create(access_key.clone())];
        match self.commit(Action::AccessKeyCreated, &Actor::Operator, writes, Some(secret.clone())).await? {
            Committed::At(_) => Ok(Created { access_key, secret }),
            Committed::Stale => Err(too_contended()),
        }
    }

    /// Whether anyone could call the admin API: on a store without an account, nobody can.
    pub async fn has_accounts(&self) -> std::result::Result<bool, Failure> {
        Ok(!self.store.accounts("", 1).await?.items.is_empty())
    }

    /// The account of a name or an id. Tenants choose their names, so one name may stand for several.
    async fn account_of(&self, name: Option<&str>) -> Result<AccountId> {
        let accounts = self.active_accounts().await?;
        let is_named = |account: &&Account| name.is_none_or(|name| account.name == name || account.id.as_str() == name);
        let found: Vec<&Account> = accounts.iter().filter(is_named).collect();
        match (found.as_slice(), name) {
            ([only], _) => Ok(only.id.clone()),
            ([], Some(name)) if AccountId::parse(name).is_ok() => {
                Err(Failure::refused(ErrorCode::NotFound, format!("there is no account {name}")))
            }
            ([], Some(name)) => self.operators_account(name).await,
            ([], None) => self.operators_account(FIRST_ACCOUNT).await,
            (_, None) => Err(Failure::invalid("there are several accounts: name one with --account-name")),
            (_, Some(_)) => Err(Failure::invalid("there are several accounts of this name: name one by its id")),
        }
    }

    async fn active_accounts(&self) -> Result<Vec<Account>> {
        let mut accounts = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.store.accounts(&after, MAX_PAGE).await?;
            let records = page.items.into_iter().map(|found| found.record);
            accounts.extend(records.filter(|account| account.status == Status::Active));
            match page.next {
                Some(next) => after = next,
                None => return Ok(accounts),
            }
        }
    }

    async fn operators_account(&self, name: &str) -> Result<AccountId> {
        let account = self.new_account(Some(name.to_owned()), Actor::Operator)?;
        let id = account.id.clone();
        match self.commit(Action::AccountCreated, &Actor::Operator, vec![Write::create(account)], None).await? {
            Committed::At(_) => Ok(id),
            Committed::Stale => Err(too_contended()),
        }
    }

    async fn project_of(&self, named: Option<&str>, account: &AccountId) -> Result<Option<ProjectId>> {
        let Some(named) = named else { return Ok(None) };
        let not_found = || Failure::refused(ErrorCode::NotFound, format!("there is no project {named} in the account"));
        let id = ProjectId::parse(named).map_err(|_| not_found())?;
        let project = self.store.project(&id).await?.ok_or_else(not_found)?.record;
        if project.account == *account { Ok(Some(id)) } else { Err(not_found()) }
    }
}

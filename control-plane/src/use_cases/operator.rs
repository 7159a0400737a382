//! Commands of the operator: access keys, and the first account with them.

use gatepost_domain::change::Action;
use gatepost_domain::id::{AccessKeyId, AccountId, EventId, ProjectId};
use gatepost_domain::key::{self, Secret};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Account, Actor, Role, Status};
use gatepost_store::{Change, MAX_PAGE, RecordWrite, os_rng};

use super::access_keys::AccessKeySpec;
use crate::commit::{Committed, Initiator};
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::pager::Pager;
use crate::update::retry_while_contended;

/// The name of the account that is created with the first access key of a store.
const FIRST_ACCOUNT: &str = "default";

/// Maximum number of accounts that a message names.
const MAX_NAMED_ACCOUNTS: usize = 10;

/// An access key to create for the operator.
#[derive(Debug, Clone)]
pub struct NewAccessKey {
    /// The account's name or id; an account of that name is created if there is none. Absent for the only account.
    pub account_name: Option<String>,
    /// The only project that the access key sees.
    pub project: Option<String>,
    pub role: Role,
    /// The name of the access key.
    pub name: String,
}

/// A created access key with its value, which is shown only once.
#[derive(Debug, Clone)]
pub struct CreatedAccessKey {
    pub access_key: AccessKey,
    pub secret: Secret,
    pub account_outcome: AccountOutcome,
}

/// Single-use link to a session of an access key.
#[derive(Debug)]
pub struct OperatorSignInLink {
    pub access_key: AccessKey,
    pub token: Secret,
}

/// The account of a created access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountOutcome {
    Existing,
    /// It was created as the first one of the store.
    First,
    /// It was created in addition to others: from now on every route of a gateway must name its projects.
    Added {
        /// Names and ids of the others, for people.
        others: String,
    },
}

/// The account that an access key is created in.
enum AccountLookup {
    Existing(AccountId),
    New(Box<Account>, AccountOutcome),
}

impl ControlPlane {
    /// Creates an access key, and in the same change its account if there is none of that name.
    pub async fn create_access_key(&self, new: NewAccessKey) -> Result<CreatedAccessKey> {
        self.create_access_key_from_secret(&key::generate_access_key(&mut os_rng()), &new).await
    }

    /// Creates an access key with a value that was generated before, so that the caller can save the value first.
    pub async fn create_access_key_from_secret(&self, secret: &Secret, new: &NewAccessKey) -> Result<CreatedAccessKey> {
        retry_while_contended(|| self.try_create_access_key(secret, new)).await
    }

    async fn try_create_access_key(&self, secret: &Secret, new: &NewAccessKey) -> Result<Option<CreatedAccessKey>> {
        let (id, account, account_outcome) = match self.look_up_account(new.account_name.as_deref()).await? {
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
        let account = account.into_iter().map(|account| RecordWrite::create(*account));
        let change = Change {
            event: EventId::generate_in(access_key.id.partition(), &mut os_rng()),
            action,
            actor: Actor::Operator,
            writes: account.chain([RecordWrite::create(access_key.clone())]).collect(),
            secret: event_secret,
            stored_response: None,
        };
        Ok(match self.commit(Initiator::Operator, change).await? {
            Committed::At(_) => Some(CreatedAccessKey { access_key, secret: secret.clone(), account_outcome }),
            Committed::Stale => None,
        })
    }

    /// Returns whether any access key is active: without one, nobody can call the admin API.
    pub async fn has_access_keys(&self) -> Result<bool> {
        for account in self.active_accounts().await? {
            let read = |after: String, limit| {
                let account = &account.id;
                async move { self.store.home(account.partition()).access_keys(account, &after, limit).await }
            };
            let mut pages = Pager::new(MAX_PAGE, read);
            while let Some(page) = pages.next_page().await? {
                if page.items.iter().any(|found| found.record.status == Status::Active) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Creates a single-use link that signs in to the dashboard with an access key. Without an id, that is the oldest one
    /// with which an admin sees a whole account, in the first account that has one. See [`Self::create_sign_in_link`].
    ///
    /// # Errors
    /// `not-found` if there is no such access key, or if it was revoked or has expired.
    pub async fn create_operator_sign_in_link(&self, access_key: Option<&str>) -> Result<OperatorSignInLink> {
        let access_key = match access_key {
            Some(id) => self.usable_access_key(id).await?,
            None => self.oldest_admin_access_key().await?,
        };
        let token = self.create_sign_in_link(&access_key.id).await?;
        Ok(OperatorSignInLink { access_key, token })
    }

    async fn usable_access_key(&self, id: &str) -> Result<AccessKey> {
        let not_found = || {
            let detail = "there is no access key of this id, or it was revoked or has expired; ids begin with ak_";
            Failure::refused(ErrorCode::NotFound, detail)
        };
        let id = AccessKeyId::parse(id).map_err(|_| not_found())?;
        let found = self.store.home(id.partition()).access_key(&id).await?.map(|found| found.record);
        found.filter(|found| found.is_usable(self.now())).ok_or_else(not_found)
    }

    async fn oldest_admin_access_key(&self) -> Result<AccessKey> {
        for account in self.active_accounts().await? {
            let id = &account.id;
            let read = |after: String, limit| async move {
                self.store.home(id.partition()).access_keys(id, &after, limit).await
            };
            let all = Pager::new(MAX_PAGE, read).read_all().await?.into_iter().map(|(_, found)| found.record);
            let admins = all.filter(|key| self.is_admin_of_account(key));
            if let Some(oldest) = admins.min_by_key(|key| key.stamps.created_at) {
                return Ok(oldest);
            }
        }
        let detail =
            "no admin has a valid access key for a whole account: create one with `gatepost access-key create`";
        Err(Failure::refused(ErrorCode::NotFound, detail))
    }

    /// Returns whether a value is that of an active access key.
    pub async fn is_access_key(&self, value: &str) -> Result<bool> {
        let digest = self.store.envelope().digest(value);
        let found = self.store.home_of_digest(&digest).access_key_by_digest(&digest).await?;
        Ok(found.is_some_and(|found| found.record.status == Status::Active))
    }

    /// Finds an account by name or id. Tenants choose their names, so several accounts may have the same one.
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
            (several, None) => {
                let several = describe(several);
                return Err(Failure::invalid(format!(
                    "there are several accounts: name one with --account-name: {several}"
                )));
            }
            (several, Some(_)) => {
                let several = describe(several);
                return Err(Failure::invalid(format!(
                    "there are several accounts of this name: name one by its id: {several}"
                )));
            }
        };
        let mut account = self.build_account(Some(name.to_owned()), Actor::Operator)?;
        let of_name = AccountId::from_name(name);
        match self.store.home(of_name.partition()).account(&of_name).await?.map(|found| found.record) {
            None => account.id = of_name,
            // Another process created it first.
            Some(made) if made.name == name && made.status == Status::Active => {
                return Ok(AccountLookup::Existing(made.id));
            }
            // The account with this id was renamed or deleted since.
            Some(_) => {}
        }
        let others: Vec<&Account> = accounts.iter().collect();
        let outcome = match others.as_slice() {
            [] => AccountOutcome::First,
            others => AccountOutcome::Added { others: describe(others) },
        };
        Ok(AccountLookup::New(Box::new(account), outcome))
    }

    async fn active_accounts(&self) -> Result<Vec<Account>> {
        let all = self.all_accounts().await?.into_iter();
        Ok(all.filter(|account| account.status == Status::Active).collect())
    }

    pub(super) async fn all_accounts(&self) -> Result<Vec<Account>> {
        let read = |after: String, limit| async move { self.store.single_cell().accounts(&after, limit).await };
        let all = Pager::new(MAX_PAGE, read).read_all().await?;
        Ok(all.into_iter().map(|(_, found)| found.record).collect())
    }

    async fn find_project(&self, named: Option<&str>, account: &AccountId) -> Result<Option<ProjectId>> {
        let Some(named) = named else { return Ok(None) };
        let not_found = || Failure::refused(ErrorCode::NotFound, format!("there is no project {named} in the account"));
        let id = ProjectId::parse(named).map_err(|_| not_found())?;
        let project = self.store.home(id.partition()).project(&id).await?.ok_or_else(not_found)?.record;
        if project.account == *account { Ok(Some(id)) } else { Err(not_found()) }
    }
}

/// Returns names and ids of accounts, of the first 10.
fn describe(accounts: &[&Account]) -> String {
    let named = accounts.iter().take(MAX_NAMED_ACCOUNTS).map(|account| format!("{:?} ({})", account.name, account.id));
    let more = accounts.len().saturating_sub(MAX_NAMED_ACCOUNTS);
    named.chain((more > 0).then(|| format!("{more} more"))).collect::<Vec<_>>().join(", ")
}

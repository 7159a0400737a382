//! Accounts.

use gatepost_domain::change::Action;
use gatepost_domain::id::AccountId;
use gatepost_domain::key::Secret;
use gatepost_domain::partition::Position;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Account, Actor, Role, Stamps, Status};
use gatepost_store::{Page, RecordWrite, ResourceUsage, Versioned, os_rng};

use super::access_keys::AccessKeySpec;
use super::pagination::{ListPage, PageRequest};
use super::patch::Patch;
use super::text;
use super::update_rules::next_status;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;
use crate::update::Edit;

/// The name of an account's first access key.
const FIRST_ACCESS_KEY: &str = "first access key";

/// A created account with its first access key, whose value is shown only once.
#[derive(Debug)]
pub struct NewAccount {
    pub account: Versioned<Account>,
    pub access_key: AccessKey,
    pub secret: Secret,
}

/// A change of an account, perhaps as a copy of the whole account.
#[derive(Debug, Default)]
pub struct AccountChange {
    pub name: Patch<String>,
    pub status: Option<Status>,
}

/// An account after an update.
#[derive(Debug)]
pub struct UpdatedAccount {
    pub account: Versioned<Account>,
    /// The position of the last change that belongs to the update, for responses that wait for gateways.
    pub propagated_at: Position,
}

impl ControlPlane {
    /// Creates an account with an access key, without which nobody could act for it. Only admins of the store's first
    /// account may do so: it is the operator's, and from the second account on every route of a gateway must name its
    /// projects.
    pub async fn create_account(&self, context: &RequestContext, name: Option<String>) -> Result<NewAccount> {
        let caller = &context.caller;
        self.require_operator(context, "accounts are made by admins of the first account").await?;
        let account = self.build_account(name, caller.actor())?;
        let spec = AccessKeySpec {
            account: account.id.clone(),
            project: None,
            role: Role::Admin,
            name: FIRST_ACCESS_KEY.to_owned(),
            expires_at: None,
        };
        let (access_key, secret) = self.generate_access_key(spec, caller.actor())?;
        let further = Some(RecordWrite::create(access_key.clone()));
        let account = self.create(context, Action::AccountCreated, account, further, None).await?;
        Ok(NewAccount { account, access_key, secret })
    }

    /// Builds an account that is not yet in the store.
    pub(super) fn build_account(&self, name: Option<String>, by: Actor) -> Result<Account> {
        Ok(Account {
            id: AccountId::generate(&mut os_rng()),
            name: text::parse_name(name)?,
            status: Status::Active,
            stamps: Stamps::new(self.now(), by),
        })
    }

    /// Returns the caller's account, if it is the named one. Other accounts are hidden.
    pub async fn account(&self, context: &RequestContext, id: &str) -> Result<Versioned<Account>> {
        let caller = &context.caller;
        let not_found = || Failure::refused(ErrorCode::NotFound, "there is no such account");
        if id != caller.account.as_str() {
            return Err(not_found());
        }
        self.store.home(caller.account.partition()).account(&caller.account).await?.ok_or_else(not_found)
    }

    /// Returns how much an account has of each limited resource; none while the store does not count, before
    /// `gatepost store upgrade`.
    ///
    /// # Errors
    /// `not-found` if it is not the caller's, `forbidden` if the caller sees one project only.
    pub async fn account_usage(&self, context: &RequestContext, id: &str) -> Result<Option<Vec<ResourceUsage>>> {
        let account = self.account(context, id).await?.record.id;
        context.caller.require_account_scope()?;
        Ok(self.store.home(account.partition()).account_usage(&account).await?)
    }

    /// Returns a part of the list of accounts that the caller acts for: it has one.
    pub async fn accounts(&self, context: &RequestContext, page_request: &PageRequest) -> Result<ListPage<Account>> {
        let caller = &context.caller;
        let found = self.account(context, caller.account.as_str()).await?;
        let page = |_, _| {
            std::future::ready(Ok(Page { items: vec![found.clone()], positions: vec![String::new()], next: None }))
        };
        self.read_list(context, "accounts", page_request, page, |_| true).await
    }

    /// Renames an account, or deletes it as [`ControlPlane::deactivate_account`] does.
    pub async fn update_account(
        &self,
        context: &RequestContext,
        id: &str,
        change: &AccountChange,
    ) -> Result<UpdatedAccount> {
        let name = text::parse_changed_name(&change.name, change.status)?;
        let found = self.administrable_account(context, id).await?;
        next_status(found.record.status, change.status, deleted_account_hint)?;
        if change.status == Some(Status::Inactive) {
            return self.deactivate_account_and_projects(context, id, name).await;
        }
        let edit = |found: &Account| {
            next_status(found.status, change.status, deleted_account_hint)?;
            let renamed =
                |name: &String| Edit::replace(Action::AccountUpdated, Account { name: name.clone(), ..found.clone() });
            Ok(name.as_ref().map_or(Edit::Unchanged, renamed))
        };
        let account = self.change_account(context, id, edit).await?;
        Ok(UpdatedAccount { propagated_at: account.position, account })
    }

    /// Deletes an account, for good.
    pub async fn deactivate_account(&self, context: &RequestContext, id: &str) -> Result<UpdatedAccount> {
        self.administrable_account(context, id).await?;
        self.deactivate_account_and_projects(context, id, None).await
    }

    /// Deactivates first each project, so that webhooks get an event of each and a repeated request resumes where the
    /// first one ended, then the account, whose access keys are refused from then on. Projects that were created in
    /// between are deactivated last.
    async fn deactivate_account_and_projects(
        &self,
        context: &RequestContext,
        id: &str,
        name: Option<String>,
    ) -> Result<UpdatedAccount> {
        self.deactivate_projects(context).await?;
        let edit = |found: &Account| {
            if found.status == Status::Inactive {
                return Ok(Edit::Unchanged);
            }
            let name = name.clone().unwrap_or_else(|| found.name.clone());
            Ok(Edit::replace(Action::AccountDeleted, Account { name, status: Status::Inactive, ..found.clone() }))
        };
        let account = self.change_account(context, id, edit).await?;
        let propagated_at = self.deactivate_projects(context).await?.unwrap_or(account.position);
        Ok(UpdatedAccount { account, propagated_at })
    }

    async fn change_account(
        &self,
        context: &RequestContext,
        id: &str,
        edit: impl FnMut(&Account) -> Result<Edit<Account>>,
    ) -> Result<Versioned<Account>> {
        self.update(context.into(), || self.administrable_account(context, id), edit).await
    }

    /// Deactivates all projects of the caller's account, and returns the last position; none if there was no project.
    async fn deactivate_projects(&self, context: &RequestContext) -> Result<Option<Position>> {
        let context = context.without_precondition();
        let mut last = None;
        let projects = self.projects_by_position(&context.caller).await?;
        for (_, project) in projects.iter().filter(|(_, project)| project.status == Status::Active) {
            last = Some(self.deactivate_project(&context, project.id.as_str()).await?.position);
        }
        Ok(last)
    }

    /// Returns the caller's account at a version that the request may change, if the caller may manage it.
    async fn administrable_account(&self, context: &RequestContext, id: &str) -> Result<Versioned<Account>> {
        let found = self.account(context, id).await?;
        context.precondition.check(found.position)?;
        context.caller.require_admin()?;
        context.caller.require_account_scope()?;
        Ok(found)
    }
}

/// Returns the hint for a request that would reactivate a deleted account. Such a request is only authenticated if the
/// account is deleted while it is processed.
fn deleted_account_hint() -> String {
    "the account was deleted, for good: only keys and access keys have a /reactivate".to_owned()
}

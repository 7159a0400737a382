//! Access keys, as callers manage them.

use gatepost_domain::change::Action;
use gatepost_domain::id::{AccessKeyId, AccountId, ProjectId};
use gatepost_domain::key::{self, Secret};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Actor, Role, Stamps, Status};
use gatepost_domain::time::Timestamp;
use gatepost_store::{Versioned, os_rng};

use super::created_with_secret::CreatedWithSecret;
use super::pagination::{ListPage, PageRequest};
use super::patch::Patch;
use super::text;
use super::update_rules::{check_unchanged, next_status};
use crate::caller::Visibility;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result, both};
use crate::request_context::{MemberPolicy, RequestContext};
use crate::update::Edit;

/// The role of a new access key by default: it may do all that clients of the hosted product do.
const DEFAULT_ROLE: Role = Role::User;

/// An access key to create, as a caller requests it.
#[derive(Debug, Default)]
pub struct AccessKeyRequest {
    pub name: Option<String>,
    pub account: Option<String>,
    pub project: Option<String>,
    pub role: Option<String>,
    pub expiry: Option<String>,
}

/// An access key to create, after validation.
#[derive(Debug)]
pub(super) struct AccessKeySpec {
    pub(super) account: AccountId,
    pub(super) project: Option<ProjectId>,
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) expires_at: Option<Timestamp>,
}

/// A change of an access key, perhaps as a copy of the whole access key.
#[derive(Debug, Default)]
pub struct AccessKeyChange {
    pub name: Patch<String>,
    pub status: Option<Status>,
    pub account: Option<String>,
    pub project: Patch<String>,
    pub role: Option<String>,
    pub key: Option<String>,
    pub expiry: Patch<String>,
    pub expires_at: Patch<String>,
}

/// The access keys that a list selects.
#[derive(Debug, Default)]
pub struct AccessKeyFilter {
    pub account: Option<String>,
    pub project: Option<String>,
    pub status: Option<Status>,
}

/// The name of an access key in a path: its value, which the response repeats, or its id.
#[derive(Debug, Clone)]
pub enum AccessKeyRef {
    Value(Secret),
    Id(AccessKeyId),
}

impl AccessKeyRef {
    /// Parses the last segment of a path.
    pub fn parse(text: &str) -> Self {
        match AccessKeyId::parse(text) {
            Ok(id) => AccessKeyRef::Id(id),
            Err(_) => AccessKeyRef::Value(Secret::new(text.to_owned())),
        }
    }

    /// Returns the `key` of the response.
    pub fn echoed_key(&self) -> &str {
        match self {
            AccessKeyRef::Value(secret) => secret.expose(),
            AccessKeyRef::Id(id) => id.as_str(),
        }
    }
}

impl ControlPlane {
    /// Creates an access key that sees no more than its creator, and returns it with its value: the only time that the
    /// value is shown.
    pub async fn create_access_key_for(
        &self,
        context: &RequestContext,
        request: AccessKeyRequest,
    ) -> Result<CreatedWithSecret<AccessKey>> {
        let caller = &context.caller;
        caller.require_admin()?;
        caller.require_own_account(request.account.as_deref())?;
        let project = match (request.project.as_deref(), &caller.project) {
            (None, None) => None,
            (named, _) => Some(self.active_project(context, named).await?.id),
        };
        let (name, role, expires_at) = self.parse_access_key(&request)?;
        let spec = AccessKeySpec { account: caller.account.clone(), project, role, name, expires_at };
        let (access_key, secret) = self.generate_access_key(spec, caller.actor())?;
        let value = Some(secret.clone());
        let record = self.create(context, Action::AccessKeyCreated, access_key, None, value).await?;
        Ok(CreatedWithSecret { record, secret })
    }

    /// Checks the members of an access key, except its project, without creating it.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn check_new_access_key(&self, context: &RequestContext, request: &AccessKeyRequest) -> Result<()> {
        context.caller.require_admin()?;
        self.parse_access_key(request).map(drop)
    }

    fn parse_access_key(&self, request: &AccessKeyRequest) -> Result<(String, Role, Option<Timestamp>)> {
        let role = request.role.as_deref().map_or(Some(DEFAULT_ROLE), Role::parse);
        let role = role.ok_or_else(|| Failure::invalid("role: must be admin, user or viewer"));
        let name_and_role = both(text::parse_name(request.name.clone()), role);
        let ((name, role), expires_at) = both(name_and_role, self.parse_future_expiry(request.expiry.clone()))?;
        Ok((name, role, expires_at))
    }

    /// Parses the expiry of a new access key.
    fn parse_future_expiry(&self, expiry: Option<String>) -> Result<Option<Timestamp>> {
        let expires_at = expiry.map(|text| text::parse_timestamp("expiry", &text)).transpose()?;
        if expires_at.is_some_and(|expires_at| expires_at <= self.now()) {
            return Err(Failure::invalid("expiry: is in the past"));
        }
        Ok(expires_at)
    }

    /// Builds an access key that is not yet in the store, with a generated value.
    pub(super) fn generate_access_key(&self, spec: AccessKeySpec, by: Actor) -> Result<(AccessKey, Secret)> {
        let secret = key::generate_access_key(&mut os_rng());
        Ok((self.access_key_from_secret(&secret, spec, by)?, secret))
    }

    /// Builds an access key that is not yet in the store, with a value that was generated before.
    pub(super) fn access_key_from_secret(&self, secret: &Secret, spec: AccessKeySpec, by: Actor) -> Result<AccessKey> {
        Ok(AccessKey {
            id: AccessKeyId::generate_in(spec.account.partition(), &mut os_rng()),
            account: spec.account,
            project: spec.project,
            role: spec.role,
            name: text::parse_name(Some(spec.name))?,
            status: Status::Active,
            mask: key::mask(secret.expose()),
            digest: self.store.envelope().digest(secret.expose()),
            expires_at: spec.expires_at,
            stamps: Stamps::new(self.now(), by),
        })
    }

    /// Returns a part of the list of access keys that the caller sees.
    pub async fn access_keys(
        &self,
        context: &RequestContext,
        filter: &AccessKeyFilter,
        page_request: &PageRequest,
    ) -> Result<ListPage<AccessKey>> {
        let caller = &context.caller;
        caller.require_own_account(filter.account.as_deref())?;
        let matches = |key: &AccessKey| {
            caller.visibility_in_account(&key.account, key.project.as_ref()) == Visibility::Visible
                && filter.status.is_none_or(|status| status == key.status)
                && filter
                    .project
                    .as_deref()
                    .is_none_or(|project| key.project.as_ref().is_some_and(|own| own.as_str() == project))
        };
        let page = |after: String, limit| async move {
            self.store.home(caller.account.partition()).access_keys(&caller.account, &after, limit).await
        };
        self.read_list(context, "access-keys", page_request, page, matches).await
    }

    /// Renames an access key, or revokes it as deleting it does. Its other members are fixed.
    pub async fn update_access_key(
        &self,
        context: &RequestContext,
        key_ref: &AccessKeyRef,
        change: &AccessKeyChange,
    ) -> Result<Versioned<AccessKey>> {
        let new_name = text::parse_changed_name(&change.name, change.status)?;
        let next = |key: &AccessKey| {
            self.check_immutable_fields(&context.members, change, key_ref, key)?;
            let reactivation_hint =
                || format!("the access key was revoked; PATCH /access-keys/{}/reactivate lets it in again", key.id);
            let status = next_status(key.status, change.status, reactivation_hint)?;
            let name = new_name.clone().unwrap_or_else(|| key.name.clone());
            let action = if status == key.status { Action::AccessKeyUpdated } else { Action::AccessKeyDeleted };
            Ok((action, AccessKey { name, status, ..key.clone() }))
        };
        self.change_access_key(context, key_ref, next).await
    }

    fn check_immutable_fields(
        &self,
        members: &MemberPolicy,
        change: &AccessKeyChange,
        key_ref: &AccessKeyRef,
        key: &AccessKey,
    ) -> Result<()> {
        let check =
            |member: &str, requested: Option<&str>, current: &str| check_unchanged(members, member, requested, current);
        check("accountId", change.account.as_deref(), key.account.as_str())?;
        check("role", change.role.as_deref(), key.role.as_str())?;
        for (member, requested) in [("expiry", &change.expiry), ("expiresAt", &change.expires_at)] {
            check_expiry_unchanged(members, member, requested, key.expires_at)?;
        }
        match (&change.project, &key.project) {
            (Patch::Absent, _) | (Patch::Null, None) => {}
            (Patch::Value(requested), Some(own)) => check("projectId", Some(requested), own.as_str())?,
            (Patch::Null, Some(own)) => check("projectId", Some("null"), own.as_str())?,
            (Patch::Value(requested), None) => check("projectId", Some(requested), "null")?,
        }
        let is_own = |value: &str| {
            value == key_ref.echoed_key()
                || value == key.id.as_str()
                || self.store.envelope().digest(value) == key.digest
        };
        check("key", change.key.as_deref().filter(|value| !is_own(value)), key.id.as_str())
    }

    /// Revokes an access key.
    pub async fn deactivate_access_key(
        &self,
        context: &RequestContext,
        key_ref: &AccessKeyRef,
    ) -> Result<Versioned<AccessKey>> {
        let revoked =
            |key: &AccessKey| Ok((Action::AccessKeyDeleted, AccessKey { status: Status::Inactive, ..key.clone() }));
        self.change_access_key(context, key_ref, revoked).await
    }

    /// Activates a revoked access key.
    pub async fn reactivate_access_key(
        &self,
        context: &RequestContext,
        key_ref: &AccessKeyRef,
    ) -> Result<Versioned<AccessKey>> {
        let reactivated =
            |key: &AccessKey| Ok((Action::AccessKeyUpdated, AccessKey { status: Status::Active, ..key.clone() }));
        self.change_access_key(context, key_ref, reactivated).await
    }

    /// Changes an access key. One that is already as requested is not written, and no event is sent.
    async fn change_access_key(
        &self,
        context: &RequestContext,
        key_ref: &AccessKeyRef,
        next: impl Fn(&AccessKey) -> Result<(Action, AccessKey)>,
    ) -> Result<Versioned<AccessKey>> {
        context.caller.require_admin()?;
        let edit = |found: &AccessKey| {
            let (action, changed) = next(found)?;
            Ok(if changed == *found { Edit::Unchanged } else { Edit::replace(action, changed) })
        };
        self.update(context.into(), || self.access_key(context, key_ref), edit).await
    }

    /// Reads an access key that the caller sees.
    ///
    /// # Errors
    /// `not-found` if there is none.
    pub async fn access_key(&self, context: &RequestContext, key_ref: &AccessKeyRef) -> Result<Versioned<AccessKey>> {
        let caller = &context.caller;
        let found = match key_ref {
            AccessKeyRef::Id(id) => self.store.home(id.partition()).access_key(id).await?,
            AccessKeyRef::Value(value) => {
                let digest = self.store.envelope().digest(value.expose());
                self.store.home_of_digest(&digest).access_key_by_digest(&digest).await?
            }
        };
        found
            .filter(|found| {
                caller.visibility_in_account(&found.record.account, found.record.project.as_ref())
                    == Visibility::Visible
            })
            .ok_or_else(|| Failure::refused(ErrorCode::NotFound, "there is no such access key"))
    }
}

fn check_expiry_unchanged(
    members: &MemberPolicy,
    member: &str,
    requested: &Patch<String>,
    current: Option<Timestamp>,
) -> Result<()> {
    let requested = match requested {
        Patch::Absent => return Ok(()),
        Patch::Null => None,
        Patch::Value(text) => Some(text::parse_timestamp(member, text)?),
    };
    let to_text = |timestamp: Option<Timestamp>| timestamp.map_or("null".to_owned(), |timestamp| timestamp.to_string());
    check_unchanged(members, member, Some(&to_text(requested)), &to_text(current))
}

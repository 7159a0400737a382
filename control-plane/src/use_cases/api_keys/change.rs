//! Updating keys: their members, value and status.

use gatepost_domain::change::Action;
use gatepost_domain::key::{self, KeyFormat, Secret};
use gatepost_domain::record::{ApiKey, KeyDigest, Status};
use gatepost_store::Versioned;

use super::fields::KeyFields;
use super::key_ref::KeyRef;
use super::new_value::parse_chosen_value;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result, both};
use crate::request_context::{MemberPolicy, RequestContext};
use crate::update::{Edit, Replacement};
use crate::use_cases::patch::Patch;
use crate::use_cases::update_rules::{check_unchanged, next_status};

/// A key after an update.
#[derive(Debug)]
pub struct UpdatedKey {
    pub key: Versioned<ApiKey>,
    /// The new value, if the key got one: the only time that it is shown.
    pub value: Option<Secret>,
}

/// A change of a key, perhaps as a copy of the whole key.
#[derive(Default)]
pub struct KeyChange {
    pub fields: KeyFields,
    pub status: Option<Status>,
    pub project: Option<String>,
    pub account: Option<String>,
    pub env: Option<String>,
    /// The mask of the value at the time when the copy was read.
    pub mask: Option<String>,
}

impl KeyChange {
    fn check_immutable_fields(&self, members: &MemberPolicy, key: &ApiKey) -> Result<()> {
        check_unchanged(members, "projectId", self.project.as_deref(), key.project.as_str())?;
        check_unchanged(members, "accountId", self.account.as_deref(), key.account.as_str())?;
        check_unchanged(members, "env", self.env.as_deref(), key.env.as_str())
    }

    fn changes_status_only(&self) -> bool {
        self.status.is_some() && self.fields == KeyFields::default()
    }
}

impl ControlPlane {
    /// Updates the members that are present. A new `key` is a new value, and the old one is refused at once. A change
    /// that revokes the key is one change with all the rest.
    pub async fn update_api_key(
        &self,
        context: &RequestContext,
        key_ref: &KeyRef,
        change: &KeyChange,
    ) -> Result<UpdatedKey> {
        self.change_api_key(context, key_ref, |found| {
            change.check_immutable_fields(&context.members, found)?;
            let reactivation_hint =
                || format!("the key was revoked; PATCH /api-keys/{}/reactivate lets it be used again", found.id);
            let status = next_status(found.status, change.status, reactivation_hint)?;
            if change.changes_status_only() && status == found.status {
                return Ok(Edit::Unchanged);
            }
            let (mut record, secret) = self.apply_fields(found, key_ref, change)?;
            record.status = status;
            if let Some(value) = &secret {
                record.digests = vec![KeyDigest::current(self.store.envelope().digest(value.expose()))];
                record.mask = key::mask(value.expose());
            }
            let action = if status == found.status { Action::ApiKeyUpdated } else { Action::ApiKeyDeleted };
            Ok(Edit::Replace(Box::new(Replacement { action, record, secret, stored_response: None })))
        })
        .await
    }

    /// Checks the members of a change without making it.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn check_key_change(&self, key: &ApiKey, key_ref: &KeyRef, change: &KeyChange) -> Result<()> {
        self.apply_fields(key, key_ref, change).map(drop)
    }

    /// Returns a key with the members of a change, and its new value if it gets one.
    fn apply_fields(&self, key: &ApiKey, key_ref: &KeyRef, change: &KeyChange) -> Result<(ApiKey, Option<Secret>)> {
        let mut changed = key.clone();
        let applied = change.fields.clone().apply(&mut changed);
        both(applied, self.parse_new_value(key, key_ref, change)).map(|((), secret)| (changed, secret))
    }

    /// Activates a revoked key. It keeps the time of its first use.
    pub async fn reactivate_api_key(&self, context: &RequestContext, key_ref: &KeyRef) -> Result<UpdatedKey> {
        let reactivated = |found: &ApiKey| Ok(with_status(found, Status::Active, Action::ApiKeyUpdated));
        self.change_api_key(context, key_ref, reactivated).await
    }

    /// Revokes a key. The returned position is the one from which gateways refuse the key, also if it was revoked before.
    pub async fn deactivate_api_key(&self, context: &RequestContext, key_ref: &KeyRef) -> Result<UpdatedKey> {
        let deactivated = |found: &ApiKey| Ok(with_status(found, Status::Inactive, Action::ApiKeyDeleted));
        self.change_api_key(context, key_ref, deactivated).await
    }

    /// Updates a key. Values that have expired are removed with the change.
    pub(super) async fn change_api_key(
        &self,
        context: &RequestContext,
        key_ref: &KeyRef,
        edit: impl Fn(&ApiKey) -> Result<Edit<ApiKey>>,
    ) -> Result<UpdatedKey> {
        context.caller.require_write()?;
        let mut value = None;
        let edit = |found: &ApiKey| {
            let mut edit = edit(found)?;
            if let Edit::Replace(new) = &mut edit {
                let now = self.now();
                new.record.digests.retain(|value| !value.has_expired(now));
                value.clone_from(&new.secret);
            }
            Ok(edit)
        };
        let key = self.update(context.into(), || self.api_key(context, key_ref), edit).await?;
        Ok(UpdatedKey { key, value })
    }

    /// Returns the new value of a key; none if it keeps its own.
    fn parse_new_value(&self, key: &ApiKey, key_ref: &KeyRef, change: &KeyChange) -> Result<Option<Secret>> {
        let text = match &change.fields.key {
            Patch::Absent => return Ok(None),
            Patch::Null => return Err(Failure::invalid("key: a key is never without a value")),
            Patch::Value(text) => text,
        };
        if is_unedited_value(key, key_ref, text, change.mask.as_deref()) {
            return Ok(None);
        }
        let value = parse_chosen_value(text)?;
        let digest = self.store.envelope().digest(value.expose());
        let is_current = key.digests.first().is_some_and(|current| current.digest == digest);
        Ok((!is_current).then_some(value))
    }
}

/// Returns whether a `key` was read together with the rest of a copy, and is no new value: it is the id or the value in
/// the path, or it matches the mask in the copy and was either generated or replaced since. So a key that was rotated
/// after the copy was read keeps its new value.
fn is_unedited_value(key: &ApiKey, key_ref: &KeyRef, text: &str, mask: Option<&str>) -> bool {
    let was_replaced = || key::key_format(text) == KeyFormat::Generated || mask != Some(key.mask.as_str());
    let is_masked = || mask == Some(key::mask(text).as_str()) && was_replaced();
    text == key.id.as_str() || text == key_ref.echoed_key() || is_masked()
}

pub(super) fn with_status(found: &ApiKey, status: Status, action: Action) -> Edit<ApiKey> {
    if found.status == status {
        return Edit::Unchanged;
    }
    Edit::replace(action, ApiKey { status, ..found.clone() })
}

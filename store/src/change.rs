//! A change before it is written: pairs of old and new records, and what is derived from them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use gatepost_domain::change::{Action, Invalidation, Propagation};
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccountId, EventId, ProjectId};
use gatepost_domain::key::{KeyFormat, Secret};
use gatepost_domain::partition::{Partition, Position};
use gatepost_domain::record::{Actor, Record};
use gatepost_domain::time::Timestamp;

use crate::account_resources::AccountLimits;
use crate::ops::{DisablesChecksum, Urgency};
use crate::schema::UnknownFields;

/// A record with its version, as read from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The record.
    pub record: T,
    /// Position of the last change that wrote the record. Also its ETag.
    pub position: Position,
    /// Event id of that change.
    pub event: EventId,
    /// Time of first use, for keys.
    pub first_used_at: Option<Timestamp>,
    /// Fields that this version of the program does not know; they are written back unchanged.
    pub unknown: UnknownFields,
}

impl<T> Versioned<T> {
    /// Replaces the record with a view of it.
    pub fn map<U>(self, view: impl FnOnce(T) -> U) -> Versioned<U> {
        Versioned {
            record: view(self.record),
            position: self.position,
            event: self.event,
            first_used_at: self.first_used_at,
            unknown: self.unknown,
        }
    }
}

/// The old and new state of one record. The version of the old one is the precondition of the write.
#[derive(Debug, Clone)]
pub struct RecordWrite {
    /// Record as read; `None` for a new record.
    pub old: Option<Versioned<Record>>,
    /// New record; `None` removes it.
    pub new: Option<Record>,
}

impl RecordWrite {
    /// Creates a record.
    pub fn create(new: impl Into<Record>) -> Self {
        Self { old: None, new: Some(new.into()) }
    }

    /// Replaces the record that was read.
    pub fn replace<T: Into<Record>>(old: Versioned<T>, new: T) -> Self {
        Self { old: Some(old.map(Into::into)), new: Some(new.into()) }
    }

    /// Removes the record that was read.
    pub fn remove<T: Into<Record>>(old: Versioned<T>) -> Self {
        Self { old: Some(old.map(Into::into)), new: None }
    }

    fn images(&self) -> impl Iterator<Item = &Record> {
        self.old.iter().map(|old| &old.record).chain(self.new.iter())
    }
}

/// A change of one or more records, committed together with one stream entry.
#[derive(Debug, Clone)]
pub struct Change {
    /// Event id, chosen by the caller, so that a retried commit is recognised.
    pub event: EventId,
    /// Kind of change.
    pub action: Action,
    /// Who makes the change.
    pub actor: Actor,
    /// Record writes, the subject of the change first.
    pub writes: Vec<RecordWrite>,
    /// Plaintext secret for the event's deliveries.
    pub secret: Option<Secret>,
    /// Response to store for a retried request.
    pub stored_response: Option<StoredResponse>,
}

/// A response to store, alone or together with a change.
#[derive(Debug, Clone)]
pub struct StoredResponse {
    /// Name under which a retry finds it, stored in plaintext.
    pub name: String,
    /// The response.
    pub response: Secret,
    /// Retention time.
    pub ttl: Duration,
}

/// The request that a change comes from.
#[derive(Debug, Clone, Default)]
pub struct CommitContext {
    /// Address of the client; `None` for operator commands.
    pub client_ip: Option<IpAddr>,
    /// Response to store for a retry of the request.
    pub stored_response: Option<StoredResponse>,
    /// Set when key values are imported as digests, some of which may have a wrong checksum.
    pub disables_checksum: DisablesChecksum,
}

impl Change {
    /// Returns the account that the change belongs to.
    pub fn account(&self) -> Option<AccountId> {
        self.subject().map(|record| match record {
            Record::Account(account) => account.id.clone(),
            Record::Project(project) => project.account.clone(),
            Record::ApiKey(key) => key.account.clone(),
            Record::AccessKey(key) => key.account.clone(),
            Record::Webhook(webhook) => webhook.account.clone(),
        })
    }

    /// Returns the partition of the change's subject.
    pub fn partition(&self) -> Partition {
        self.subject().map(Record::partition).unwrap_or_default()
    }

    /// Returns the project that the change belongs to, if any.
    pub(crate) fn project(&self) -> Option<ProjectId> {
        self.subject().and_then(|record| match record {
            Record::Account(_) => None,
            Record::Project(project) => Some(project.id.clone()),
            Record::ApiKey(key) => Some(key.project.clone()),
            Record::AccessKey(key) => key.project.clone(),
            Record::Webhook(webhook) => webhook.project.clone(),
        })
    }

    fn subject(&self) -> Option<&Record> {
        self.writes.first().and_then(|write| write.new.as_ref().or(write.old.as_ref().map(|old| &old.record)))
    }

    /// Returns the cache entries to invalidate: all values in both states of a key, so that a negative entry of a new
    /// value is removed as well; all entries when the number of accounts changes.
    pub(crate) fn invalidation(&self) -> Invalidation {
        if self.action == Action::AccountCreated {
            return Invalidation::All;
        }
        let images = || self.writes.iter().flat_map(RecordWrite::images);
        if let Some(project) = self.writes.iter().find_map(project_of_status_change) {
            return Invalidation::Project(project);
        }
        let digests: BTreeSet<Digest> = images().flat_map(api_key_digests).collect();
        if digests.is_empty() { Invalidation::None } else { Invalidation::Digests(digests.into_iter().collect()) }
    }

    /// Returns `Fenced` if the change may revoke a key.
    pub(crate) fn propagation(&self) -> Propagation {
        match self.action {
            Action::ApiKeyUpdated | Action::ApiKeyDeleted | Action::ProjectDeleted => Propagation::Fenced,
            Action::AccountCreated
            | Action::AccountUpdated
            | Action::AccountDeleted
            | Action::ProjectCreated
            | Action::ProjectUpdated
            | Action::ApiKeyCreated
            | Action::ApiKeyFirstUsed
            | Action::ApiKeyImported
            | Action::ApiKeyPurged
            | Action::AccessKeyPurged
            | Action::AccessKeyCreated
            | Action::AccessKeyUpdated
            | Action::AccessKeyDeleted
            | Action::WebhookCreated
            | Action::WebhookUpdated
            | Action::WebhookDeleted
            | Action::WebhookFailing
            | Action::WebhookRecovered
            | Action::WebhookDisabled => Propagation::Relaxed,
        }
    }

    /// Returns the priority of the commit. Revocations are accepted when the store is full.
    pub(crate) fn urgency(&self) -> Urgency {
        match self.action {
            Action::AccountDeleted
            | Action::ApiKeyDeleted
            | Action::ProjectDeleted
            | Action::AccessKeyDeleted
            | Action::WebhookDeleted => Urgency::Revocation,
            Action::AccountCreated
            | Action::AccountUpdated
            | Action::ProjectCreated
            | Action::ProjectUpdated
            | Action::ApiKeyCreated
            | Action::ApiKeyUpdated
            | Action::ApiKeyFirstUsed
            | Action::ApiKeyImported
            | Action::ApiKeyPurged
            | Action::AccessKeyPurged
            | Action::AccessKeyCreated
            | Action::AccessKeyUpdated
            | Action::WebhookCreated
            | Action::WebhookUpdated
            | Action::WebhookFailing
            | Action::WebhookRecovered
            | Action::WebhookDisabled => Urgency::Ordinary,
        }
    }

    /// Returns the limits that a commit must keep. `None` for revocations, and for access keys that the operator creates:
    /// with those the operator regains access to a full account.
    pub(crate) fn account_limits(&self, configured: AccountLimits) -> Option<AccountLimits> {
        let is_recovery_key = self.action == Action::AccessKeyCreated && self.actor == Actor::Operator;
        if self.urgency() == Urgency::Revocation || is_recovery_key {
            return None;
        }
        let creates = self.writes.iter().any(|write| write.old.is_none());
        let extra = if creates { 0 } else { configured.bytes / 4 };
        Some(AccountLimits { bytes: configured.bytes.saturating_add(extra), ..configured })
    }

    /// Returns `Yes` if the secret is a custom value in Gatepost's key format with a wrong checksum.
    pub(crate) fn disables_checksum(&self) -> DisablesChecksum {
        let has_wrong_checksum =
            |secret: &Secret| gatepost_domain::key::key_format(secret.expose()) == KeyFormat::WrongChecksum;
        if self.secret.as_ref().is_some_and(has_wrong_checksum) { DisablesChecksum::Yes } else { DisablesChecksum::No }
    }
}

/// Returns the digests that map to a record.
pub(crate) fn digests_of(record: &Record) -> Vec<Digest> {
    match record {
        Record::AccessKey(key) => vec![key.digest],
        Record::ApiKey(_) => api_key_digests(record).collect(),
        Record::Account(_) | Record::Project(_) | Record::Webhook(_) => Vec::new(),
    }
}

fn api_key_digests(record: &Record) -> impl Iterator<Item = Digest> {
    let values = match record {
        Record::ApiKey(key) => key.digests.as_slice(),
        Record::Account(_) | Record::Project(_) | Record::AccessKey(_) | Record::Webhook(_) => &[],
    };
    values.iter().map(|value| value.digest)
}

/// Returns the project whose status a write changes. Gateways cache nothing else of a project.
fn project_of_status_change(write: &RecordWrite) -> Option<ProjectId> {
    match (write.old.as_ref().map(|old| &old.record), &write.new) {
        (Some(Record::Project(old)), Some(Record::Project(new))) if old.status != new.status => Some(new.id.clone()),
        _ => None,
    }
}

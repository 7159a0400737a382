//! A change before it is written: records as pairs of images, and what follows from them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gatepost_domain::base62;
use gatepost_domain::change::{Action, Invalidation, Propagation};
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccountId, EventId, ProjectId};
use gatepost_domain::key::{ChecksumPolicy, KeyFormat, Secret};
use gatepost_domain::record::{Actor, Record, Stamps};
use gatepost_domain::time::{Timestamp, Version};

use crate::ops::{DisablesChecksum, IndexName, Urgency};
use crate::schema::UnknownFields;
use crate::stored_response::StoredResponse;

/// A record as read from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The record.
    pub record: T,
    /// Its version: the position of the last change that wrote it. Also its ETag.
    pub version: Version,
    /// The event id of that change.
    pub event: EventId,
    /// When the record, a key, was first used.
    pub first_used_at: Option<Timestamp>,
    /// Fields that this version of the program does not know, to be written back.
    pub unknown: UnknownFields,
}

impl<T> Versioned<T> {
    /// The same with another view of the record.
    pub fn map<U>(self, view: impl FnOnce(T) -> U) -> Versioned<U> {
        Versioned {
            record: view(self.record),
            version: self.version,
            event: self.event,
            first_used_at: self.first_used_at,
            unknown: self.unknown,
        }
    }
}

/// One record's old and new image. The old one proves, by its version, what the new one is based on.
#[derive(Debug, Clone)]
pub struct RecordWrite {
    /// What was read; absent for a new record.
    pub old: Option<Versioned<Record>>,
    /// What shall be; absent to remove the record.
    pub new: Option<Record>,
}

impl RecordWrite {
    /// A new record.
    pub fn create(new: impl Into<Record>) -> Self {
        Self { old: None, new: Some(new.into()) }
    }

    /// A record in the place of the one that was read.
    pub fn replace<T: Into<Record>>(old: Versioned<T>, new: T) -> Self {
        Self { old: Some(old.map(Into::into)), new: Some(new.into()) }
    }

    /// The end of a record.
    pub fn remove<T: Into<Record>>(old: Versioned<T>) -> Self {
        Self { old: Some(old.map(Into::into)), new: None }
    }

    fn images(&self) -> impl Iterator<Item = &Record> {
        self.old.iter().map(|old| &old.record).chain(self.new.iter())
    }
}

/// A write of state and stream.
#[derive(Debug, Clone)]
pub struct Change {
    /// Chosen by the caller, so that a repeated commit is known.
    pub event: EventId,
    /// What it does.
    pub action: Action,
    /// Who does it.
    pub actor: Actor,
    /// The records, the subject of the change first.
    pub writes: Vec<RecordWrite>,
    /// The plaintext that the event's deliveries carry.
    pub secret: Option<Secret>,
    /// What a repeated request shall be answered again.
    pub stored_response: Option<StoredResponse>,
}

/// What is known of the request that asks for a change.
#[derive(Debug, Clone, Default)]
pub struct CommitContext {
    /// From where it came; absent for the operator's commands.
    pub client_ip: Option<IpAddr>,
    /// What it shall be answered again if it is repeated.
    pub stored_response: Option<StoredResponse>,
    /// Whether values of our shape may have a wrong checksum from now on, for values that are not known in clear.
    pub disables_checksum: DisablesChecksum,
}

impl Change {
    /// The account in whose feed the change belongs.
    pub fn account(&self) -> Option<AccountId> {
        self.subject().map(|record| match record {
            Record::Account(account) => account.id.clone(),
            Record::Project(project) => project.account.clone(),
            Record::ApiKey(key) => key.account.clone(),
            Record::AccessKey(key) => key.account.clone(),
            Record::Webhook(webhook) => webhook.account.clone(),
        })
    }

    /// The project in whose feed the change belongs.
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

    /// What caches must forget: all values that any image of a key has, so that a negative entry of a
    /// new value goes as well; everything when the number of accounts changes.
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

    /// Whether the change may shut a key off.
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
            | Action::WebhookDeleted => Propagation::Relaxed,
        }
    }

    /// Whatever shuts something off goes on when the stream is full.
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
            | Action::WebhookUpdated => Urgency::Ordinary,
        }
    }

    /// A chosen value of our shape with a wrong checksum ends the strict checksum for good.
    pub(crate) fn disables_checksum(&self) -> DisablesChecksum {
        let has_wrong_checksum =
            |secret: &Secret| gatepost_domain::key::key_format(secret.expose()) == KeyFormat::WrongChecksum;
        if self.secret.as_ref().is_some_and(has_wrong_checksum) { DisablesChecksum::Yes } else { DisablesChecksum::No }
    }
}

/// What a store's own flag says to those who judge values by their checksum.
pub(crate) fn checksum_mode(loose: bool) -> ChecksumPolicy {
    if loose { ChecksumPolicy::Lenient } else { ChecksumPolicy::Strict }
}

/// The values that lead to a record.
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

/// The project whose keys a write shuts off or lets in again. Gateways know nothing else of a project.
fn project_of_status_change(write: &RecordWrite) -> Option<ProjectId> {
    match (write.old.as_ref().map(|old| &old.record), &write.new) {
        (Some(Record::Project(old)), Some(Record::Project(new))) if old.status != new.status => Some(new.id.clone()),
        _ => None,
    }
}

/// The index that lists a record, and the record's member in it.
pub(crate) fn index_of(record: &Record) -> (IndexName, String) {
    match record {
        Record::Account(account) => (accounts_index(), index_member(&account.stamps, account.id.as_str())),
        Record::Project(project) => {
            (projects_index(&project.account), index_member(&project.stamps, project.id.as_str()))
        }
        Record::ApiKey(key) => (api_keys_index(&key.project), index_member(&key.stamps, key.id.as_str())),
        Record::AccessKey(key) => (access_keys_index(&key.account), index_member(&key.stamps, key.id.as_str())),
        Record::Webhook(webhook) => {
            (webhooks_index(&webhook.account), index_member(&webhook.stamps, webhook.id.as_str()))
        }
    }
}

/// Digits of a member that stand for the moment of creation.
pub(crate) const TIMESTAMP_DIGITS: u32 = 9;

fn index_member(stamps: &Stamps, name: &str) -> String {
    let mut text = String::with_capacity(TIMESTAMP_DIGITS as usize + name.len());
    base62::push_number(&mut text, stamps.created_at.as_ms(), TIMESTAMP_DIGITS);
    text.push_str(name);
    text
}

/// All accounts.
pub(crate) fn accounts_index() -> IndexName {
    IndexName("accounts".to_owned())
}

/// The projects of an account.
pub(crate) fn projects_index(account: &AccountId) -> IndexName {
    IndexName(format!("projects:{account}"))
}

/// The API keys of a project.
pub(crate) fn api_keys_index(project: &ProjectId) -> IndexName {
    IndexName(format!("api-keys:{project}"))
}

/// The access keys of an account.
pub(crate) fn access_keys_index(account: &AccountId) -> IndexName {
    IndexName(format!("access-keys:{account}"))
}

/// The webhooks of an account.
pub(crate) fn webhooks_index(account: &AccountId) -> IndexName {
    IndexName(format!("webhooks:{account}"))
}

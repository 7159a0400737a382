//! Indexes: lists of the records of an account or a project, in the order of their creation.

use gatepost_domain::base62;
use gatepost_domain::id::{AccountId, ProjectId};
use gatepost_domain::record::{Record, Stamps, Status};

/// Name of an index, an ordered set of records. Members start with the creation time, so they sort by creation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct IndexName(pub String);

/// Entry of a record in the index that lists it, and the change of the count that a write causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) index: IndexName,
    pub(crate) member: String,
    /// Change of the number of resources of the record's kind: -1, 0 or 1.
    pub(crate) delta: i64,
}

impl IndexEntry {
    pub(crate) fn of_write(subject: &Record, old: Option<&Record>, new: Option<&Record>) -> Self {
        let (index, member) = index_of(subject);
        Self { index, member, delta: resource_count(new) - resource_count(old) }
    }
}

/// Returns 1 if a record counts towards the limit of its kind, otherwise 0.
fn resource_count(record: Option<&Record>) -> i64 {
    let is_counted = match record {
        None | Some(Record::Account(_) | Record::Webhook(_)) => false,
        Some(Record::ApiKey(_)) => true,
        Some(Record::Project(project)) => project.status == Status::Active,
        Some(Record::AccessKey(key)) => key.status == Status::Active,
    };
    i64::from(is_counted)
}

/// Indexes that start to exist with a record, by the kind of the index that lists the record. Everything in them is
/// created after the record.
pub(crate) const CHILD_INDEXES: [(&str, &[&str]); 2] =
    [("accounts", &["projects", "access-keys", "webhooks"]), ("projects", &["api-keys"])];

/// Returns the index that lists a record, and the record's member in it.
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

/// Number of leading characters of an index member that encode the creation time.
pub(crate) const TIMESTAMP_DIGITS: u32 = 9;

fn index_member(stamps: &Stamps, name: &str) -> String {
    let mut text = String::with_capacity(TIMESTAMP_DIGITS as usize + name.len());
    base62::push_number(&mut text, stamps.created_at.as_ms(), TIMESTAMP_DIGITS);
    text.push_str(name);
    text
}

pub(crate) fn accounts_index() -> IndexName {
    IndexName("accounts".to_owned())
}

pub(crate) fn projects_index(account: &AccountId) -> IndexName {
    IndexName(format!("projects:{account}"))
}

pub(crate) fn api_keys_index(project: &ProjectId) -> IndexName {
    IndexName(format!("api-keys:{project}"))
}

pub(crate) fn access_keys_index(account: &AccountId) -> IndexName {
    IndexName(format!("access-keys:{account}"))
}

pub(crate) fn webhooks_index(account: &AccountId) -> IndexName {
    IndexName(format!("webhooks:{account}"))
}

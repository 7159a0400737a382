//! Resources of accounts: counted with every commit, and limited per account.
//!
//! A store counts once all programs that write to it do, from [`Format::SEALED_WEBHOOKS`](crate::Format) on. Existing
//! records are then counted once, page by page, while commits continue: a commit counts a record if the backfill has
//! already passed the record's position in its index.

use gatepost_domain::change::Action;
use gatepost_domain::id::AccountId;
use gatepost_domain::record::{Actor, Record, Status};

use crate::change::{self, Change};
use crate::error::Result;
use crate::ops::{IndexName, Urgency};
use crate::records::MAX_PAGE;
use crate::store::Store;

/// Limits that apply to every account. At a limit nothing more can be created; existing records stay, and can be
/// changed and revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountLimits {
    /// API keys, including revoked ones until they are purged.
    pub api_keys: u64,
    /// Projects that are not deleted.
    pub projects: u64,
    /// Access keys that are not revoked.
    pub access_keys: u64,
    /// Bytes of all records of the account; 0 for no limit. Updates of existing records may exceed it by a quarter.
    pub bytes: u64,
}

impl AccountLimits {
    /// The limits that apply unless others are configured.
    pub const DEFAULT: Self = Self { api_keys: 10_000_000, projects: 10_000, access_keys: 10_000, bytes: 0 };

    /// Returns the limit of a resource; `None` if it has none.
    pub(crate) fn limit_of(&self, resource: AccountResource) -> Option<u64> {
        match resource {
            AccountResource::ApiKeys => Some(self.api_keys),
            AccountResource::Projects => Some(self.projects),
            AccountResource::AccessKeys => Some(self.access_keys),
            AccountResource::Bytes => (self.bytes > 0).then_some(self.bytes),
        }
    }
}

/// Returns the limits that a commit must keep. `None` for revocations, and for access keys that the operator creates:
/// with those the operator regains access to a full account.
pub(crate) fn limits_for(change: &Change, configured: AccountLimits) -> Option<AccountLimits> {
    let is_recovery_key = change.action == Action::AccessKeyCreated && change.actor == Actor::Operator;
    if change.urgency() == Urgency::Revocation || is_recovery_key {
        return None;
    }
    let creates = change.writes.iter().any(|write| write.old.is_none());
    let extra = if creates { 0 } else { configured.bytes / 4 };
    Some(AccountLimits { bytes: configured.bytes.saturating_add(extra), ..configured })
}

/// A limited resource of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountResource {
    /// Number of API keys.
    ApiKeys,
    /// Number of projects.
    Projects,
    /// Number of access keys.
    AccessKeys,
    /// Bytes of records.
    Bytes,
}

impl AccountResource {
    /// All resources.
    pub const ALL: [Self; 4] = [Self::ApiKeys, Self::Projects, Self::AccessKeys, Self::Bytes];

    /// Returns the name in the store. For records it is also the prefix of the names of their indexes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKeys => "api-keys",
            Self::Projects => "projects",
            Self::AccessKeys => "access-keys",
            Self::Bytes => "bytes",
        }
    }

    /// Parses a name returned by [`AccountResource::as_str`].
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.as_str() == name)
    }
}

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
        let (index, member) = change::index_of(subject);
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

impl Store {
    /// Counts the records that existed before the store started counting. Calls `progress` with the number of records
    /// counted so far. If it was interrupted, it resumes where it stopped.
    pub(crate) async fn backfill_counts(&self, mut progress: impl FnMut(u64) + Send) -> Result<()> {
        if !self.backend.begin_counting().await? {
            return Ok(());
        }
        let (mut counted, mut after) = (0, String::new());
        loop {
            let page = self.accounts(&after, MAX_PAGE).await?;
            for account in &page.items {
                self.count_account(&account.record.id, &mut |more| {
                    counted += more;
                    progress(counted);
                })
                .await?;
            }
            match page.next {
                Some(next) => after = next,
                None => return self.backend.end_counting().await,
            }
        }
    }

    async fn count_account(&self, account: &AccountId, progress: &mut (impl FnMut(u64) + Send)) -> Result<()> {
        let indexes = [change::projects_index, change::access_keys_index, change::webhooks_index];
        for index in indexes.map(|index| index(account)) {
            self.count_index(account, index, progress).await?;
        }
        let mut after = String::new();
        loop {
            let page = self.projects(account, &after, MAX_PAGE).await?;
            for project in &page.items {
                self.count_index(account, change::api_keys_index(&project.record.id), progress).await?;
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn count_index(
        &self,
        account: &AccountId,
        index: IndexName,
        progress: &mut (impl FnMut(u64) + Send),
    ) -> Result<()> {
        loop {
            match self.backend.count_page(account.clone(), index.clone(), MAX_PAGE).await? {
                0 => return Ok(()),
                more => progress(more),
            }
        }
    }
}

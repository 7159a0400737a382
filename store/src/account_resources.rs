//! What accounts have, counted with every commit, and how much of it each may have.
//!
//! A store counts once every program that writes to it does: from [`Format::SEALED_WEBHOOKS`](crate::Format) on. What was there
//! before is counted once, page by page, while commits go on: a record is in the counts once its place in its index
//! has been passed.

use gatepost_domain::change::Action;
use gatepost_domain::id::AccountId;
use gatepost_domain::record::{Actor, Record, Status};

use crate::change::{self, Change};
use crate::error::Result;
use crate::ops::{IndexName, Urgency};
use crate::records::MAX_PAGE;
use crate::store::Store;

/// How much every account may have. Over a bound nothing more is made; what is there already stays, and can be changed
/// and shut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountLimits {
    /// API keys, revoked ones among them until they are purged.
    pub api_keys: u64,
    /// Projects that were not deleted.
    pub projects: u64,
    /// Access keys that were not revoked.
    pub access_keys: u64,
    /// Bytes of all records of the account; 0 for no bound. Changes of what is there may take a quarter more.
    pub bytes: u64,
}

impl AccountLimits {
    /// What holds unless something else is configured.
    pub const DEFAULT: Self = Self { api_keys: 10_000_000, projects: 10_000, access_keys: 10_000, bytes: 0 };

    /// The bound of a resource; none if there is none.
    pub(crate) fn limit_of(&self, resource: AccountResource) -> Option<u64> {
        match resource {
            AccountResource::ApiKeys => Some(self.api_keys),
            AccountResource::Projects => Some(self.projects),
            AccountResource::AccessKeys => Some(self.access_keys),
            AccountResource::Bytes => (self.bytes > 0).then_some(self.bytes),
        }
    }
}

/// The bounds that a commit must keep. None for what shuts something off, and for access keys that the operator makes:
/// they are the way back in.
pub(crate) fn limits_for(change: &Change, configured: AccountLimits) -> Option<AccountLimits> {
    let is_recovery_key = change.action == Action::AccessKeyCreated && change.actor == Actor::Operator;
    if change.urgency() == Urgency::Revocation || is_recovery_key {
        return None;
    }
    let creates = change.writes.iter().any(|write| write.old.is_none());
    let extra = if creates { 0 } else { configured.bytes / 4 };
    Some(AccountLimits { bytes: configured.bytes.saturating_add(extra), ..configured })
}

/// What an account has a number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountResource {
    /// API keys.
    ApiKeys,
    /// Projects.
    Projects,
    /// Access keys.
    AccessKeys,
    /// Bytes of records.
    Bytes,
}

impl AccountResource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ApiKeys, Self::Projects, Self::AccessKeys, Self::Bytes];

    /// Its name in the store; for records, what the names of their indexes begin with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKeys => "api-keys",
            Self::Projects => "projects",
            Self::AccessKeys => "access-keys",
            Self::Bytes => "bytes",
        }
    }

    /// The resource of a name that [`AccountResource::as_str`] gives.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.as_str() == name)
    }
}

/// The entry of a record in the index that lists it, and what a write of the record does to the counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) index: IndexName,
    pub(crate) member: String,
    /// Added to the number of resources of its kind: -1, 0 or 1.
    pub(crate) delta: i64,
}

impl IndexEntry {
    pub(crate) fn of_write(subject: &Record, old: Option<&Record>, new: Option<&Record>) -> Self {
        let (index, member) = change::index_of(subject);
        Self { index, member, delta: resource_count(new) - resource_count(old) }
    }
}

/// What a record adds to the number of its kind.
fn resource_count(record: Option<&Record>) -> i64 {
    let is_counted = match record {
        None | Some(Record::Account(_) | Record::Webhook(_)) => false,
        Some(Record::ApiKey(_)) => true,
        Some(Record::Project(project)) => project.status == Status::Active,
        Some(Record::AccessKey(key)) => key.status == Status::Active,
    };
    i64::from(is_counted)
}

/// The indexes that begin with a record, by the kind of the index that lists it: whatever stands in them was made
/// after it.
pub(crate) const CHILD_INDEXES: [(&str, &[&str]); 2] =
    [("accounts", &["projects", "access-keys", "webhooks"]), ("projects", &["api-keys"])];

impl Store {
    /// Counts what was in the store before it counted; `progress` is told how many records were. What was cut off is
    /// gone on with where it ended.
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

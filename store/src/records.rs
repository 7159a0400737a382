//! Reading, listing and committing records.

use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccessKeyId, AccountId, KeyId, ProjectId, WebhookId};
use gatepost_domain::record::{AccessKey, Account, ApiKey, Project, Record, Status, Webhook};

use crate::account_resources::{AccountResource, ResourceUsage};
use crate::cell_store::CellStore;
use crate::change::{Change, CommitContext, Versioned};
use crate::commit_encoding::{SealedParts, encode_commit};
use crate::error::{Result, StoreErrorKind};
use crate::format::{Format, LaterFormat};
use crate::index::{self, IndexName, TIMESTAMP_DIGITS};
use crate::ops::{CommitOutcome, DisablesChecksum, RawCommitOutcome, RawRecord, RecordName, SortOrder};
use crate::schema;

/// Maximum number of records on a page of a list.
pub const MAX_PAGE: u32 = 1000;
/// Maximum number of records that are counted, as the embedded store reads an entry for each.
pub const MAX_COUNTED: u32 = 10_000;

/// One page of a list, with the position from which to request the next.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The records, in the requested order.
    pub items: Vec<Versioned<T>>,
    /// The list position of each record, in the same order. Each is valid as `after`.
    pub positions: Vec<String>,
    /// Position of the last record; `None` on the last page.
    pub next: Option<String>,
}

/// One page of a list in which each record is decoded separately.
#[derive(Debug)]
pub struct LenientPage<T> {
    /// The records by name, in order of creation; a record that cannot be decoded is an error of its own.
    pub items: Vec<(String, Result<Versioned<T>>)>,
    /// Position of the last record; `None` on the last page.
    pub next: Option<String>,
}

impl CellStore {
    /// Commits a change: writes its records and its stream entry, or nothing. A retry with the same event id is safe:
    /// it returns [`CommitOutcome::AlreadyCommitted`].
    ///
    /// # Errors
    ///
    /// Those of a confirmed write, see [`CellStore`].
    pub async fn commit(&self, change: &Change) -> Result<CommitOutcome> {
        self.commit_with_context(change, &CommitContext::default()).await
    }

    /// Like [`CellStore::commit`], for a change that a client requested.
    ///
    /// # Errors
    ///
    /// Those of a confirmed write, see [`CellStore`].
    pub async fn commit_with_context(&self, change: &Change, context: &CommitContext) -> Result<CommitOutcome> {
        let responses = change.stored_response.iter().chain(&context.stored_response);
        let sealed = SealedParts {
            secret: change
                .secret
                .as_ref()
                .map(|secret| self.envelope.seal_event_secret(&change.event, secret))
                .transpose()?,
            stored_responses: responses.map(|response| self.seal_response(response)).collect::<Result<_>>()?,
        };
        let mut format = Some(self.format());
        loop {
            let sealed_change = self.envelope.seal_for_format(change, format.unwrap_or(Format::LATEST))?;
            let mut raw = encode_commit(&sealed_change, context.client_ip, sealed.clone())?;
            raw.format = format;
            raw.limits = change.account_limits(self.account_limits);
            if context.disables_checksum == DisablesChecksum::Yes {
                raw.disables_checksum = DisablesChecksum::Yes;
            }
            match self.backend.commit(raw).await? {
                Ok(outcome) => return Ok(self.commit_outcome(outcome)),
                Err(LaterFormat(number)) => {
                    self.observe_format(number);
                    // If the store's format is later than ours and we may still write it, use our latest.
                    format = Format::new(number);
                }
            }
        }
    }

    fn commit_outcome(&self, raw: RawCommitOutcome) -> CommitOutcome {
        match raw {
            CommitOutcome::Committed(version) => CommitOutcome::Committed(self.position(version)),
            CommitOutcome::AlreadyCommitted(version) => CommitOutcome::AlreadyCommitted(self.position(version)),
            CommitOutcome::VersionConflict => CommitOutcome::VersionConflict,
            CommitOutcome::DigestTaken => CommitOutcome::DigestTaken,
            CommitOutcome::StreamFull => CommitOutcome::StreamFull,
            // The configured limit, not the higher one that applies to updates.
            CommitOutcome::AccountLimitExceeded(resource, limit) => {
                CommitOutcome::AccountLimitExceeded(resource, self.account_limits.limit_of(resource).unwrap_or(limit))
            }
        }
    }

    /// Reads an account.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn account(&self, id: &AccountId) -> Result<Option<Versioned<Account>>> {
        self.record(id.as_str(), as_account).await
    }

    /// Returns how much an account has of each limited resource. Returns `None` in a store of 0.1.0 that was not upgraded
    /// completely, as it does not count.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn account_usage(&self, account: &AccountId) -> Result<Option<Vec<ResourceUsage>>> {
        let counts = self.backend.account_usage(account.clone()).await?;
        let usage = |(resource, used): (AccountResource, u64)| ResourceUsage {
            resource,
            used,
            limit: self.account_limits.limit_of(resource),
        };
        Ok(counts.map(|counts| AccountResource::ALL.into_iter().zip(counts).map(usage).collect()))
    }

    /// Reads a project.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn project(&self, id: &ProjectId) -> Result<Option<Versioned<Project>>> {
        self.record(id.as_str(), as_project).await
    }

    /// Reads an API key by its id.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn api_key(&self, id: &KeyId) -> Result<Option<Versioned<ApiKey>>> {
        self.record(id.as_str(), as_api_key).await
    }

    /// Reads an API key by one of its values. Deadline 1 s.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn api_key_by_digest(&self, digest: &Digest) -> Result<Option<Versioned<ApiKey>>> {
        self.record_by_digest(digest, as_api_key).await
    }

    /// Reads an access key by its id.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn access_key(&self, id: &AccessKeyId) -> Result<Option<Versioned<AccessKey>>> {
        self.record(id.as_str(), as_access_key).await
    }

    /// Reads an access key by its value. Deadline 1 s.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn access_key_by_digest(&self, digest: &Digest) -> Result<Option<Versioned<AccessKey>>> {
        self.record_by_digest(digest, as_access_key).await
    }

    /// Reads an access key by its value together with the status of its account, in one round trip. Deadline 1 s.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn access_key_with_account_status(&self, digest: &Digest) -> Result<Option<(AccessKey, Status)>> {
        let Some((name, raw, parent)) = self.backend.lookup(*digest).await?.found else { return Ok(None) };
        let (record, _) = schema::decode(&name.0, &raw.image.public, Some(&raw.image.private))?;
        let Some(key) = as_access_key(record) else { return Ok(None) };
        let account = parent.map(|parent| decode_as(self, key.account.as_str(), parent, as_account)).transpose()?;
        let status = account.map_or(Status::Inactive, |account| account.record.status);
        Ok(Some((key, status)))
    }

    /// Reads a webhook.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn webhook(&self, id: &WebhookId) -> Result<Option<Versioned<Webhook>>> {
        self.record(id.as_str(), as_webhook).await
    }

    /// Lists accounts by creation time. `after` is a position of an earlier page, or empty; `limit` is clamped to 1 to
    /// [`MAX_PAGE`].
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn accounts(&self, after: &str, limit: u32) -> Result<Page<Account>> {
        self.list(index::accounts_index(), SortOrder::OldestFirst, after, limit, as_account).await
    }

    /// Lists the projects of an account, like [`CellStore::accounts`].
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn projects(&self, account: &AccountId, after: &str, limit: u32) -> Result<Page<Project>> {
        self.list(index::projects_index(account), SortOrder::OldestFirst, after, limit, as_project).await
    }

    /// Lists the API keys of a project, like [`CellStore::accounts`].
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn api_keys(&self, project: &ProjectId, after: &str, limit: u32) -> Result<Page<ApiKey>> {
        self.list(index::api_keys_index(project), SortOrder::OldestFirst, after, limit, as_api_key).await
    }

    /// Lists the API keys of a project, like [`CellStore::accounts`] but newest first.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn newest_api_keys(&self, project: &ProjectId, after: &str, limit: u32) -> Result<Page<ApiKey>> {
        self.list(index::api_keys_index(project), SortOrder::NewestFirst, after, limit, as_api_key).await
    }

    /// Counts the API keys of a project, with revoked ones until they are purged, up to [`MAX_COUNTED`].
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn api_key_count(&self, project: &ProjectId) -> Result<u32> {
        self.backend.count_listed(index::api_keys_index(project), MAX_COUNTED).await
    }

    /// Lists the access keys of an account, like [`CellStore::accounts`].
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn access_keys(&self, account: &AccountId, after: &str, limit: u32) -> Result<Page<AccessKey>> {
        self.list(index::access_keys_index(account), SortOrder::OldestFirst, after, limit, as_access_key).await
    }

    /// Lists the webhooks of an account, like [`CellStore::accounts`].
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn webhooks(&self, account: &AccountId, after: &str, limit: u32) -> Result<Page<Webhook>> {
        self.list(index::webhooks_index(account), SortOrder::OldestFirst, after, limit, as_webhook).await
    }

    /// Lists the webhooks of an account, like [`CellStore::webhooks`], but a webhook that cannot be decoded does not fail
    /// the page.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn webhooks_lenient(&self, account: &AccountId, after: &str, limit: u32) -> Result<LenientPage<Webhook>> {
        let (raw, next) = self.read_list(index::webhooks_index(account), SortOrder::OldestFirst, after, limit).await?;
        let item = |(member, raw): (String, RawRecord)| {
            let name = name_of_member(&member);
            (name.to_owned(), decode_as(self, name, raw, as_webhook))
        };
        Ok(LenientPage { items: raw.into_iter().map(item).collect(), next })
    }

    async fn record<T>(&self, name: &str, view: impl Fn(Record) -> Option<T>) -> Result<Option<Versioned<T>>> {
        let found = self.backend.records(vec![RecordName(name.to_owned())]).await?;
        found.into_iter().next().flatten().map(|raw| decode_as(self, name, raw, &view)).transpose()
    }

    async fn record_by_digest<T>(
        &self,
        digest: &Digest,
        view: impl Fn(Record) -> Option<T>,
    ) -> Result<Option<Versioned<T>>> {
        let Some((name, raw, _)) = self.backend.lookup(*digest).await?.found else { return Ok(None) };
        let (record, unknown) = schema::decode(&name.0, &raw.image.public, Some(&raw.image.private))?;
        Ok(view(record).map(|record| Versioned {
            record,
            position: self.position(raw.version),
            event: raw.event,
            first_used_at: raw.first_used_at,
            unknown,
        }))
    }

    async fn list<T>(
        &self,
        index: IndexName,
        order: SortOrder,
        after: &str,
        limit: u32,
        view: impl Fn(Record) -> Option<T>,
    ) -> Result<Page<T>> {
        let (raw, next) = self.read_list(index, order, after, limit).await?;
        let mut page = Page { items: Vec::with_capacity(raw.len()), positions: Vec::with_capacity(raw.len()), next };
        for (position, raw) in raw {
            page.items.push(decode_as(self, name_of_member(&position), raw, &view)?);
            page.positions.push(position);
        }
        Ok(page)
    }

    /// Reads members of an index with their records, and the position of the next page.
    async fn read_list(
        &self,
        index: IndexName,
        order: SortOrder,
        after: &str,
        limit: u32,
    ) -> Result<(Vec<(String, RawRecord)>, Option<String>)> {
        let limit = limit.clamp(1, MAX_PAGE);
        let raw = self.backend.list(index, order, after.to_owned(), limit).await?;
        let next = if raw.len() < limit as usize { None } else { raw.last().map(|(member, _)| member.clone()) };
        Ok((raw, next))
    }
}

/// Returns the record name in an index member.
fn name_of_member(member: &str) -> &str {
    &member[TIMESTAMP_DIGITS as usize..]
}

pub(crate) fn decode_as<T>(
    cell: &CellStore,
    name: &str,
    raw: RawRecord,
    view: impl Fn(Record) -> Option<T>,
) -> Result<Versioned<T>> {
    let (record, unknown) = schema::decode(name, &raw.image.public, Some(&raw.image.private))?;
    let record = view(record)
        .ok_or_else(|| StoreErrorKind::Corrupt.with(format!("{name} is not a record of the expected kind")))?;
    let position = cell.position(raw.version);
    Ok(Versioned { record, position, event: raw.event, first_used_at: raw.first_used_at, unknown })
}

macro_rules! views {
    ($($name:ident -> $kind:ident),*) => {$(
        pub(crate) fn $name(record: Record) -> Option<$kind> {
            match record {
                Record::$kind(one) => Some(one),
                _ => None,
            }
        }
    )*};
}

views!(
    as_account -> Account, as_project -> Project, as_api_key -> ApiKey, as_access_key -> AccessKey,
    as_webhook -> Webhook
);

//! Reading, listing and committing records.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccessKeyId, AccountId, KeyId, ProjectId, WebhookId};
use gatepost_domain::record::{AccessKey, Account, ApiKey, Project, Record, Status, Webhook};

use crate::act::{
    CommitAnswer, IndexName, Loosens, Order, RawCommit, RawReceipt, RawRecord, RawWrite, RecordName, Told as RawTold,
};
use crate::change::{self, Change, MOMENT_DIGITS, Origin, Versioned, Write, digests_of, index_of};
use crate::counts::{self, IndexEntry};
use crate::entry;
use crate::error::{Result, StoreErrorKind};
use crate::format::{Format, LaterFormat};
use crate::shape;
use crate::store::Store;

/// The most records that one page of a list has.
pub const MAX_PAGE: u32 = 1000;

/// One page of a list, with what to ask for to get the next one.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The records, in the order that was asked for.
    pub items: Vec<Versioned<T>>,
    /// Where each of them stands in the list, in the same order: any may be asked for as `after`.
    pub positions: Vec<String>,
    /// The position of the last one; absent if this page ends the list.
    pub next: Option<String>,
}

/// One page of a list in which each record was read by itself.
#[derive(Debug)]
pub struct Readings<T> {
    /// The records by name, in order of creation; one that cannot be decoded is a failure of its own.
    pub items: Vec<(String, Result<Versioned<T>>)>,
    /// The position of the last one; absent if this page ends the list.
    pub next: Option<String>,
}

impl Store {
    /// Writes a change: its records and its stream entry, or nothing.
    pub async fn commit(&self, change: &Change) -> Result<CommitAnswer> {
        self.commit_from(change, &Origin::default()).await
    }

    /// The same for a change that a request of a client asks for.
    pub async fn commit_from(&self, change: &Change, origin: &Origin) -> Result<CommitAnswer> {
        let receipts = change.receipt.iter().chain(&origin.answer);
        let sealed = SealedParts {
            secret: change.secret.as_ref().map(|secret| self.seal_event_secret(&change.event, secret)).transpose()?,
            receipts: receipts.map(|receipt| self.seal_receipt(receipt)).collect::<Result<_>>()?,
        };
        let mut format = Some(self.format());
        loop {
            let written = self.in_format(change, format.unwrap_or(Format::LATEST))?;
            let mut raw = raw_commit(&written, origin.address, sealed.clone())?;
            raw.format = format;
            raw.bounds = counts::bounds_of(change, self.account_bounds);
            if origin.loosens_checksum == Loosens::Yes {
                raw.loosens_checksum = Loosens::Yes;
            }
            match self.backend.commit(raw).await? {
                // What is configured, and not what is left for changes beyond it.
                Ok(CommitAnswer::OverBound(of, bound)) => {
                    return Ok(CommitAnswer::OverBound(of, self.account_bounds.of(of).unwrap_or(bound)));
                }
                Ok(answer) => return Ok(answer),
                Err(LaterFormat(number)) => {
                    self.heard_of_format(number);
                    // A store of a format later than ours, which we may write all the same, gets our latest.
                    format = Format::new(number);
                }
            }
        }
    }

    /// Reads an account.
    pub async fn account(&self, id: &AccountId) -> Result<Option<Versioned<Account>>> {
        self.record(id.as_str(), as_account).await
    }

    /// Reads a project.
    pub async fn project(&self, id: &ProjectId) -> Result<Option<Versioned<Project>>> {
        self.record(id.as_str(), as_project).await
    }

    /// Reads an API key by its id.
    pub async fn api_key(&self, id: &KeyId) -> Result<Option<Versioned<ApiKey>>> {
        self.record(id.as_str(), as_api_key).await
    }

    /// Reads an API key by one of its values.
    pub async fn api_key_by_digest(&self, digest: &Digest) -> Result<Option<Versioned<ApiKey>>> {
        self.by_digest(digest, as_api_key).await
    }

    /// Reads an access key by its id.
    pub async fn access_key(&self, id: &AccessKeyId) -> Result<Option<Versioned<AccessKey>>> {
        self.record(id.as_str(), as_access_key).await
    }

    /// Reads an access key by its value.
    pub async fn access_key_by_digest(&self, digest: &Digest) -> Result<Option<Versioned<AccessKey>>> {
        self.by_digest(digest, as_access_key).await
    }

    /// Reads an access key by its value, and whether its account counts, in one round trip.
    pub async fn access_key_of_caller(&self, digest: &Digest) -> Result<Option<(AccessKey, Status)>> {
        let Some((name, raw, owner)) = self.backend.lookup(*digest).await?.found else { return Ok(None) };
        let (record, _) = shape::decode(&name.0, &raw.image.public, Some(&raw.image.private))?;
        let Some(key) = as_access_key(record) else { return Ok(None) };
        let account = owner.map(|owner| typed(key.account.as_str(), owner, as_account)).transpose()?;
        let status = account.map_or(Status::Inactive, |account| account.record.status);
        Ok(Some((key, status)))
    }

    /// Reads a webhook.
    pub async fn webhook(&self, id: &WebhookId) -> Result<Option<Versioned<Webhook>>> {
        self.record(id.as_str(), as_webhook).await
    }

    /// Lists accounts. `after` is a page's `next`, or empty; `limit` at most [`MAX_PAGE`].
    pub async fn accounts(&self, after: &str, limit: u32) -> Result<Page<Account>> {
        self.list(change::accounts_index(), Order::OldestFirst, after, limit, as_account).await
    }

    /// Lists the projects of an account.
    pub async fn projects(&self, account: &AccountId, after: &str, limit: u32) -> Result<Page<Project>> {
        self.list(change::projects_index(account), Order::OldestFirst, after, limit, as_project).await
    }

    /// Lists the API keys of a project.
    pub async fn api_keys(&self, project: &ProjectId, after: &str, limit: u32) -> Result<Page<ApiKey>> {
        self.list(change::api_keys_index(project), Order::OldestFirst, after, limit, as_api_key).await
    }

    /// Lists the API keys of a project, the newest first.
    pub async fn newest_api_keys(&self, project: &ProjectId, after: &str, limit: u32) -> Result<Page<ApiKey>> {
        self.list(change::api_keys_index(project), Order::NewestFirst, after, limit, as_api_key).await
    }

    /// Lists the access keys of an account.
    pub async fn access_keys(&self, account: &AccountId, after: &str, limit: u32) -> Result<Page<AccessKey>> {
        self.list(change::access_keys_index(account), Order::OldestFirst, after, limit, as_access_key).await
    }

    /// Lists the webhooks of an account.
    pub async fn webhooks(&self, account: &AccountId, after: &str, limit: u32) -> Result<Page<Webhook>> {
        self.list(change::webhooks_index(account), Order::OldestFirst, after, limit, as_webhook).await
    }

    /// Lists the webhooks of an account like [`Store::webhooks`]; one that cannot be read does not hide the others.
    pub async fn each_webhook(&self, account: &AccountId, after: &str, limit: u32) -> Result<Readings<Webhook>> {
        let (raw, next) = self.read_list(change::webhooks_index(account), Order::OldestFirst, after, limit).await?;
        let item = |(member, raw): (String, RawRecord)| {
            let name = name_at(&member);
            (name.to_owned(), typed(name, raw, as_webhook))
        };
        Ok(Readings { items: raw.into_iter().map(item).collect(), next })
    }

    async fn record<T>(&self, name: &str, view: impl Fn(Record) -> Option<T>) -> Result<Option<Versioned<T>>> {
        let found = self.backend.records(vec![RecordName(name.to_owned())]).await?;
        found.into_iter().next().flatten().map(|raw| typed(name, raw, &view)).transpose()
    }

    async fn by_digest<T>(&self, digest: &Digest, view: impl Fn(Record) -> Option<T>) -> Result<Option<Versioned<T>>> {
        let Some((name, raw, _)) = self.backend.lookup(*digest).await?.found else { return Ok(None) };
        let (record, unknown) = shape::decode(&name.0, &raw.image.public, Some(&raw.image.private))?;
        Ok(view(record).map(|record| Versioned {
            record,
            version: raw.version,
            event: raw.event,
            first_used_at: raw.first_used_at,
            unknown,
        }))
    }

    async fn list<T>(
        &self,
        index: IndexName,
        order: Order,
        after: &str,
        limit: u32,
        view: impl Fn(Record) -> Option<T>,
    ) -> Result<Page<T>> {
        let (raw, next) = self.read_list(index, order, after, limit).await?;
        let mut page = Page { items: Vec::with_capacity(raw.len()), positions: Vec::with_capacity(raw.len()), next };
        for (position, raw) in raw {
            page.items.push(typed(name_at(&position), raw, &view)?);
            page.positions.push(position);
        }
        Ok(page)
    }

    /// Reads members of an index with their records, and where the next ones begin.
    async fn read_list(
        &self,
        index: IndexName,
        order: Order,
        after: &str,
        limit: u32,
    ) -> Result<(Vec<(String, RawRecord)>, Option<String>)> {
        let limit = limit.clamp(1, MAX_PAGE);
        let raw = self.backend.list(index, order, after.to_owned(), limit).await?;
        let next = if raw.len() < limit as usize { None } else { raw.last().map(|(member, _)| member.clone()) };
        Ok((raw, next))
    }
}

/// The name of the record that a member of an index stands for.
fn name_at(member: &str) -> &str {
    &member[MOMENT_DIGITS as usize..]
}

/// What of a change only the envelope can write.
#[derive(Clone, Default)]
pub(crate) struct SealedParts {
    secret: Option<Vec<u8>>,
    receipts: Vec<RawReceipt>,
}

/// A change as the backends apply it.
pub(crate) fn raw_commit(change: &Change, address: Option<IpAddr>, sealed: SealedParts) -> Result<RawCommit> {
    let mut raw = RawCommit {
        event: change.event.clone(),
        writes: Vec::with_capacity(change.writes.len()),
        digests_set: Vec::new(),
        digests_drop: Vec::new(),
        index_set: Vec::new(),
        index_drop: Vec::new(),
        account: change.account(),
        bounds: None,
        told: told(change, address)?,
        sealed: sealed.secret,
        receipts: sealed.receipts,
        urgency: change.urgency(),
        loosens_checksum: change.loosens_checksum(),
        format: None,
    };
    for write in &change.writes {
        add_write(&mut raw, write)?;
    }
    Ok(raw)
}

fn told(change: &Change, address: Option<IpAddr>) -> Result<RawTold> {
    let first = change.writes.first();
    let new = first.and_then(|write| write.new.as_ref());
    let image = match new {
        Some(record) => shape::stream_image(record)?,
        None => Vec::new(),
    };
    Ok(RawTold {
        action: change.action,
        scope: change.scope(),
        fence: change.fence(),
        head: entry::encode_head(change, address)?,
        image,
    })
}

fn add_write(raw: &mut RawCommit, write: &Write) -> Result<()> {
    let old = write.old.as_ref().map(|old| &old.record);
    let Some(subject) = write.new.as_ref().or(old) else { return Ok(()) };
    let name = shape::name_of(subject);
    let digests = |record: Option<&Record>| record.map(digests_of).unwrap_or_default().into_iter().collect();
    let (before, after): (BTreeSet<Digest>, BTreeSet<Digest>) = (digests(old), digests(write.new.as_ref()));
    raw.digests_set.extend(after.difference(&before).map(|digest| (*digest, name.clone())));
    raw.digests_drop.extend(before.difference(&after));
    let (old_member, new_member) = (old.map(index_of), write.new.as_ref().map(index_of));
    if old_member != new_member {
        raw.index_drop.extend(old_member);
        raw.index_set.extend(new_member);
    }
    let unknown = write.old.as_ref().map(|old| old.unknown.clone()).unwrap_or_default();
    raw.writes.push(RawWrite {
        name,
        expect: write.old.as_ref().map(|old| old.version),
        expect_event: write.old.as_ref().map(|old| old.event.clone()),
        new: write.new.as_ref().map(|record| shape::encode(record, &unknown)).transpose()?,
        entry: IndexEntry::of_write(subject, old, write.new.as_ref()),
    });
    Ok(())
}

fn typed<T>(name: &str, raw: RawRecord, view: impl Fn(Record) -> Option<T>) -> Result<Versioned<T>> {
    let (record, unknown) = shape::decode(name, &raw.image.public, Some(&raw.image.private))?;
    let record =
        view(record).ok_or_else(|| StoreErrorKind::Corrupt.with(format!("{name} is a record of another kind")))?;
    Ok(Versioned { record, version: raw.version, event: raw.event, first_used_at: raw.first_used_at, unknown })
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

views!(as_account -> Account, as_project -> Project, as_api_key -> ApiKey, as_access_key -> AccessKey, as_webhook -> Webhook);

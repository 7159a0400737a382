//! Counts of account resources in the embedded store.

use std::ops::Bound;

use gatepost_domain::id::{AccountId, EventId};
use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, WriteTransaction};

use super::database::Embedded;
use super::errors::store_error;
use super::meta::{read_number, set_number};
use super::tables::{COUNTING_PROGRESS, COUNTS, INDEX, META, RECORDS};
use crate::account_resources::AccountResource;
use crate::error::Result;
use crate::index::TIMESTAMP_DIGITS;
use crate::index::{CHILD_INDEXES, IndexEntry};
use crate::ops::{Image, IndexName, RawCommit, RawCommitOutcome, RecordName};
use crate::record_format::{decode_record, encode_record_body};

/// Field of the meta table with the counting state. Absent in a store that does not count.
const COUNTED: &str = "counted";
/// Existing records are being counted.
const IN_PROGRESS: u64 = 1;
/// All records are counted.
const COMPLETE: u64 = 2;
/// Sorts after every member.
const AFTER_ALL_MEMBERS: &str = "~";

impl Embedded {
    pub(crate) async fn begin_counting(&self) -> Result<bool> {
        self.perform(|transaction| {
            let mut meta = transaction.open_table(META).map_err(store_error)?;
            match read_number(&meta, COUNTED)? {
                0 => set_number(&mut meta, COUNTED, IN_PROGRESS).map(|()| true),
                state => Ok(state == IN_PROGRESS),
            }
        })
        .await
    }

    pub(crate) async fn end_counting(&self) -> Result<()> {
        self.perform(|transaction| {
            transaction.delete_table(COUNTING_PROGRESS).map_err(store_error)?;
            transaction.open_table(COUNTING_PROGRESS).map_err(store_error)?;
            let mut meta = transaction.open_table(META).map_err(store_error)?;
            set_number(&mut meta, COUNTED, COMPLETE)
        })
        .await
    }

    pub(crate) async fn account_usage(&self, account: AccountId) -> Result<Option<Vec<u64>>> {
        let transaction = self.read()?;
        if read_number(&transaction.open_table(META).map_err(store_error)?, COUNTED)? != COMPLETE {
            return Ok(None);
        }
        let counts = transaction.open_table(COUNTS).map_err(store_error)?;
        let count = |resource: AccountResource| {
            let found = counts.get((account.as_str(), resource.as_str())).map_err(store_error)?;
            Ok(found.map_or(0, |count| count.value()))
        };
        AccountResource::ALL.into_iter().map(count).collect::<Result<_>>().map(Some)
    }

    pub(crate) async fn count_page(&self, account: AccountId, index: IndexName, limit: u32) -> Result<u64> {
        self.perform(move |transaction| count_page(transaction, &account, &index, limit as usize)).await
    }
}

/// Marks a new store as completely counted.
pub(super) fn mark_complete(meta: &mut redb::Table<'_, &'static str, &'static [u8]>) -> Result<()> {
    set_number(meta, COUNTED, COMPLETE)
}

/// Returns the counting state: [`IN_PROGRESS`], [`COMPLETE`], or 0 in a store that does not count.
fn counting_state(transaction: &WriteTransaction) -> Result<u64> {
    read_number(&transaction.open_table(META).map_err(store_error)?, COUNTED)
}

/// Changes of an account's counts by one commit.
pub(super) struct CountDelta {
    state: u64,
    sums: [(AccountResource, i64); AccountResource::ALL.len()],
}

impl CountDelta {
    fn zero(state: u64) -> Self {
        Self { state, sums: AccountResource::ALL.map(|resource| (resource, 0)) }
    }

    fn add(&mut self, resource: AccountResource, delta: i64) {
        if let Some((_, sum)) = self.sums.iter_mut().find(|(candidate, _)| *candidate == resource) {
            *sum += delta;
        }
    }
}

/// Returns how a commit changes the counts; `current_records` are in the order of its writes.
pub(super) fn count_delta(
    transaction: &WriteTransaction,
    commit: &RawCommit,
    current_records: &[Option<(EventId, Image)>],
) -> Result<CountDelta> {
    let mut changes = CountDelta::zero(counting_state(transaction)?);
    for (write, current) in commit.writes.iter().zip(current_records) {
        let entry = &write.index_entry;
        if index_kind(&entry.index) == "accounts" || !is_counted(transaction, changes.state, entry)? {
            continue;
        }
        if let Some(resource) = AccountResource::parse(index_kind(&entry.index)) {
            changes.add(resource, entry.delta);
        }
        let new_size = write.new.as_ref().map_or(0, |image| record_size(&commit.event, image));
        changes.add(
            AccountResource::Bytes,
            new_size - current.as_ref().map_or(0, |(event, image)| record_size(event, image)),
        );
    }
    Ok(changes)
}

/// Returns the outcome for a commit that would exceed a limit of its account.
pub(super) fn check_bounds(
    transaction: &WriteTransaction,
    commit: &RawCommit,
    changes: &CountDelta,
) -> Result<Option<RawCommitOutcome>> {
    let Some(account) = &commit.account else { return Ok(None) };
    let counts = transaction.open_table(COUNTS).map_err(store_error)?;
    for (resource, delta) in changes.sums.into_iter().filter(|(_, delta)| *delta > 0) {
        let Some(limit) = commit.limits.and_then(|limits| limits.limit_of(resource)) else { continue };
        let current_count =
            counts.get((account.as_str(), resource.as_str())).map_err(store_error)?.map_or(0, |count| count.value());
        if current_count.saturating_add_signed(delta) > limit {
            return Ok(Some(RawCommitOutcome::AccountLimitExceeded(resource, limit)));
        }
    }
    Ok(None)
}

/// Applies the changes to the account's counts.
pub(super) fn apply(transaction: &WriteTransaction, commit: &RawCommit, changes: &CountDelta) -> Result<()> {
    if let Some(account) = &commit.account {
        add_to_account(transaction, account, changes)?;
    }
    if changes.state != IN_PROGRESS {
        return Ok(());
    }
    let mut counting = transaction.open_table(COUNTING_PROGRESS).map_err(store_error)?;
    for write in commit.writes.iter().filter(|write| write.expected_version.is_none()) {
        let child_indexes = CHILD_INDEXES.iter().find(|(kind, _)| *kind == index_kind(&write.index_entry.index));
        for kind in child_indexes.map_or(&[][..], |(_, indexes)| indexes) {
            counting.insert(format!("{kind}:{}", write.name.0).as_str(), AFTER_ALL_MEMBERS).map_err(store_error)?;
        }
    }
    Ok(())
}

fn add_to_account(transaction: &WriteTransaction, account: &AccountId, changes: &CountDelta) -> Result<()> {
    let mut counts = transaction.open_table(COUNTS).map_err(store_error)?;
    for (resource, delta) in changes.sums.into_iter().filter(|(_, delta)| *delta != 0) {
        let name = (account.as_str(), resource.as_str());
        let current_count = counts.get(name).map_err(store_error)?.map_or(0, |count| count.value());
        counts.insert(name, current_count.saturating_add_signed(delta)).map_err(store_error)?;
    }
    Ok(())
}

fn is_counted(transaction: &WriteTransaction, state: u64, entry: &IndexEntry) -> Result<bool> {
    if state != IN_PROGRESS {
        return Ok(state == COMPLETE);
    }
    let counting = transaction.open_table(COUNTING_PROGRESS).map_err(store_error)?;
    let counted_through = counting.get(entry.index.0.as_str()).map_err(store_error)?;
    Ok(counted_through.is_some_and(|through| entry.member.as_str() <= through.value()))
}

fn index_kind(index: &IndexName) -> &str {
    index.0.split(':').next().unwrap_or_default()
}

/// Returns the size of a record in bytes, without its version.
fn record_size(event: &EventId, image: &Image) -> i64 {
    i64::try_from(encode_record_body(event, image).len()).unwrap_or(i64::MAX)
}

fn count_page(transaction: &WriteTransaction, account: &AccountId, index: &IndexName, limit: usize) -> Result<u64> {
    let mut counting = transaction.open_table(COUNTING_PROGRESS).map_err(store_error)?;
    let counted_through =
        counting.get(index.0.as_str()).map_err(store_error)?.map(|through| through.value().to_owned());
    if counting_state(transaction)? != IN_PROGRESS || counted_through.as_deref() == Some(AFTER_ALL_MEMBERS) {
        return Ok(0);
    }
    let members = read_members(transaction, index, counted_through.as_deref().unwrap_or_default(), limit)?;
    let changes = count_members(transaction, index, &members)?;
    add_to_account(transaction, account, &changes)?;
    let counted_through = if members.len() < limit {
        AFTER_ALL_MEMBERS
    } else {
        members.last().map_or(AFTER_ALL_MEMBERS, String::as_str)
    };
    counting.insert(index.0.as_str(), counted_through).map_err(store_error)?;
    Ok(members.len() as u64)
}

fn read_members(transaction: &WriteTransaction, index: &IndexName, after: &str, limit: usize) -> Result<Vec<String>> {
    let table = transaction.open_table(INDEX).map_err(store_error)?;
    let name = index.0.as_str();
    let from = (Bound::Excluded((name, after)), Bound::Excluded((name, AFTER_ALL_MEMBERS)));
    let members = table.range::<(&str, &str)>(from).map_err(store_error)?.take(limit);
    members.map(|entry| Ok(entry.map_err(store_error)?.0.value().1.to_owned())).collect()
}

fn count_members(transaction: &WriteTransaction, index: &IndexName, members: &[String]) -> Result<CountDelta> {
    let records = transaction.open_table(RECORDS).map_err(store_error)?;
    let mut changes = CountDelta::zero(IN_PROGRESS);
    for member in members {
        let name = RecordName(member[TIMESTAMP_DIGITS as usize..].to_owned());
        let Some(bytes) = records.get(name.0.as_str()).map_err(store_error)? else { continue };
        let record = decode_record(bytes.value(), None)?;
        changes.add(AccountResource::Bytes, record_size(&record.event, &record.image));
        let is_active = record.image.usable_until != Timestamp::from_ms(0);
        let resource = AccountResource::parse(index_kind(index));
        if let Some(resource) = resource.filter(|resource| *resource == AccountResource::ApiKeys || is_active) {
            changes.add(resource, 1);
        }
    }
    Ok(changes)
}

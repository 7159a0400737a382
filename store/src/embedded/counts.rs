//! Counting what accounts have, in the embedded store.

use std::ops::Bound;

use gatepost_domain::id::{AccountId, EventId};
use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, WriteTransaction};

use super::tables::{COUNTING, COUNTS, INDEX, META, RECORDS};
use super::{Embedded, failure, number, set_number};
use crate::act::{CommitAnswer, Image, IndexName, RawCommit, RecordName};
use crate::change::MOMENT_DIGITS;
use crate::counts::{AccountResource, INDEXES_OF, IndexEntry};
use crate::error::Result;
use crate::packed::{pack_image, unpack};

/// The field of the meta table that says whether the store counts. It has no number in one that does not.
const COUNTED: &str = "counted";
/// What was there before is being counted.
const BEGUN: u64 = 1;
/// Everything is counted.
const ENDED: u64 = 2;
/// Comes after every member.
const ALL: &str = "~";

impl Embedded {
    pub(crate) async fn begin_counting(&self) -> Result<bool> {
        self.perform(|transaction| {
            let mut meta = transaction.open_table(META).map_err(failure)?;
            match number(&meta, COUNTED)? {
                0 => set_number(&mut meta, COUNTED, BEGUN).map(|()| true),
                state => Ok(state == BEGUN),
            }
        })
        .await
    }

    pub(crate) async fn end_counting(&self) -> Result<()> {
        self.perform(|transaction| {
            transaction.delete_table(COUNTING).map_err(failure)?;
            transaction.open_table(COUNTING).map_err(failure)?;
            let mut meta = transaction.open_table(META).map_err(failure)?;
            set_number(&mut meta, COUNTED, ENDED)
        })
        .await
    }

    pub(crate) async fn count_page(&self, account: AccountId, index: IndexName, limit: u32) -> Result<u64> {
        self.perform(move |transaction| count_page(transaction, &account, &index, limit as usize)).await
    }
}

/// Marks a store that is made now: nothing is left to count in it.
pub(super) fn mark_counted(meta: &mut redb::Table<'_, &'static str, &'static [u8]>) -> Result<()> {
    set_number(meta, COUNTED, ENDED)
}

/// How far the store is with counting: [`BEGUN`], [`ENDED`], or a number of neither in a store that does not count.
fn state(transaction: &WriteTransaction) -> Result<u64> {
    number(&transaction.open_table(META).map_err(failure)?, COUNTED)
}

/// What a commit adds to the counts of its account.
pub(super) struct Added {
    state: u64,
    sums: [(AccountResource, i64); AccountResource::ALL.len()],
}

impl Added {
    fn nothing(state: u64) -> Self {
        Self { state, sums: AccountResource::ALL.map(|resource| (resource, 0)) }
    }

    fn add(&mut self, resource: AccountResource, delta: i64) {
        if let Some((_, sum)) = self.sums.iter_mut().find(|(of, _)| *of == resource) {
            *sum += delta;
        }
    }
}

/// What a commit adds; `before` are the records as they stand, in the order of its writes.
pub(super) fn added(
    transaction: &WriteTransaction,
    commit: &RawCommit,
    before: &[Option<(EventId, Image)>],
) -> Result<Added> {
    let mut added = Added::nothing(state(transaction)?);
    for (write, before) in commit.writes.iter().zip(before) {
        let entry = &write.entry;
        if kind_of(&entry.index) == "accounts" || !is_counted(transaction, added.state, entry)? {
            continue;
        }
        if let Some(resource) = AccountResource::parse(kind_of(&entry.index)) {
            added.add(resource, entry.delta);
        }
        let new = write.new.as_ref().map_or(0, |image| size(&commit.event, image));
        added.add(AccountResource::Bytes, new - before.as_ref().map_or(0, |(event, image)| size(event, image)));
    }
    Ok(added)
}

/// The refusal of a commit after which the account would have too much.
pub(super) fn refusal(
    transaction: &WriteTransaction,
    commit: &RawCommit,
    added: &Added,
) -> Result<Option<CommitAnswer>> {
    let Some(account) = &commit.account else { return Ok(None) };
    let counts = transaction.open_table(COUNTS).map_err(failure)?;
    for (resource, delta) in added.sums.into_iter().filter(|(_, delta)| *delta > 0) {
        let Some(bound) = commit.bounds.and_then(|bounds| bounds.of(resource)) else { continue };
        let has = counts.get((account.as_str(), resource.as_str())).map_err(failure)?.map_or(0, |count| count.value());
        if has.saturating_add_signed(delta) > bound {
            return Ok(Some(CommitAnswer::OverBound(resource, bound)));
        }
    }
    Ok(None)
}

/// Writes what a commit adds.
pub(super) fn apply(transaction: &WriteTransaction, commit: &RawCommit, added: &Added) -> Result<()> {
    if let Some(account) = &commit.account {
        add_to(transaction, account, added)?;
    }
    if added.state != BEGUN {
        return Ok(());
    }
    let mut counting = transaction.open_table(COUNTING).map_err(failure)?;
    for write in commit.writes.iter().filter(|write| write.expect.is_none()) {
        let begun = INDEXES_OF.iter().find(|(kind, _)| *kind == kind_of(&write.entry.index));
        for kind in begun.map_or(&[][..], |(_, indexes)| indexes) {
            counting.insert(format!("{kind}:{}", write.name.0).as_str(), ALL).map_err(failure)?;
        }
    }
    Ok(())
}

fn add_to(transaction: &WriteTransaction, account: &AccountId, added: &Added) -> Result<()> {
    let mut counts = transaction.open_table(COUNTS).map_err(failure)?;
    for (resource, delta) in added.sums.into_iter().filter(|(_, delta)| *delta != 0) {
        let name = (account.as_str(), resource.as_str());
        let has = counts.get(name).map_err(failure)?.map_or(0, |count| count.value());
        counts.insert(name, has.saturating_add_signed(delta)).map_err(failure)?;
    }
    Ok(())
}

fn is_counted(transaction: &WriteTransaction, state: u64, entry: &IndexEntry) -> Result<bool> {
    if state != BEGUN {
        return Ok(state == ENDED);
    }
    let counting = transaction.open_table(COUNTING).map_err(failure)?;
    let through = counting.get(entry.index.0.as_str()).map_err(failure)?;
    Ok(through.is_some_and(|through| entry.member.as_str() <= through.value()))
}

fn kind_of(index: &IndexName) -> &str {
    index.0.split(':').next().unwrap_or_default()
}

/// The bytes of a record, without its version.
fn size(event: &EventId, image: &Image) -> i64 {
    i64::try_from(pack_image(event, image).len()).unwrap_or(i64::MAX)
}

fn count_page(transaction: &WriteTransaction, account: &AccountId, index: &IndexName, limit: usize) -> Result<u64> {
    let mut counting = transaction.open_table(COUNTING).map_err(failure)?;
    let through = counting.get(index.0.as_str()).map_err(failure)?.map(|through| through.value().to_owned());
    if state(transaction)? != BEGUN || through.as_deref() == Some(ALL) {
        return Ok(0);
    }
    let members = members(transaction, index, through.as_deref().unwrap_or_default(), limit)?;
    let added = count(transaction, index, &members)?;
    add_to(transaction, account, &added)?;
    let through = if members.len() < limit { ALL } else { members.last().map_or(ALL, String::as_str) };
    counting.insert(index.0.as_str(), through).map_err(failure)?;
    Ok(members.len() as u64)
}

fn members(transaction: &WriteTransaction, index: &IndexName, after: &str, limit: usize) -> Result<Vec<String>> {
    let table = transaction.open_table(INDEX).map_err(failure)?;
    let name = index.0.as_str();
    let from = (Bound::Excluded((name, after)), Bound::Excluded((name, ALL)));
    let members = table.range::<(&str, &str)>(from).map_err(failure)?.take(limit);
    members.map(|entry| Ok(entry.map_err(failure)?.0.value().1.to_owned())).collect()
}

fn count(transaction: &WriteTransaction, index: &IndexName, members: &[String]) -> Result<Added> {
    let records = transaction.open_table(RECORDS).map_err(failure)?;
    let mut added = Added::nothing(BEGUN);
    for member in members {
        let name = RecordName(member[MOMENT_DIGITS as usize..].to_owned());
        let Some(bytes) = records.get(name.0.as_str()).map_err(failure)? else { continue };
        let record = unpack(bytes.value(), None)?;
        added.add(AccountResource::Bytes, size(&record.event, &record.image));
        let is_on = record.image.usable_until != Timestamp::from_ms(0);
        let resource = AccountResource::parse(kind_of(index));
        if let Some(resource) = resource.filter(|resource| *resource == AccountResource::ApiKeys || is_on) {
            added.add(resource, 1);
        }
    }
    Ok(added)
}

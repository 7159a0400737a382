//! Records in the embedded store.

use std::ops::Bound;

use gatepost_domain::id::EventId;
use gatepost_domain::time::{Timestamp, Version};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::tables::{DIGESTS, FIRST_USE, INDEX, META, RECORDS, REMOVED};
use super::{Embedded, counts, entries, failure, number, read_aside, receipts, sealed, set_number};
use crate::act::{CommitAnswer, IndexName, Loosens, Order, RawCommit, RawRecord, RecordName, Urgency};
use crate::change::MOMENT_DIGITS;
use crate::error::Result;
use crate::format::LaterFormat;
use crate::packed::{pack, unpack};

impl Embedded {
    pub(crate) async fn commit(&self, commit: RawCommit) -> Result<Written> {
        let (now, max_entries) = (self.now(), self.inner.max_entries);
        if commit.urgency == Urgency::Ordinary {
            self.inner.room.for_ordinary()?;
        }
        let answer = self
            .perform(move |transaction| match check(transaction, &commit, max_entries)? {
                Checked::Ended(answer) => Ok(answer),
                Checked::MayBeWritten(added) => apply(transaction, &commit, &added, now).map(Ok),
            })
            .await?;
        if let Ok(CommitAnswer::Committed(version)) = answer {
            self.announce(version);
        }
        Ok(answer)
    }

    pub(crate) async fn records(&self, names: Vec<RecordName>) -> Result<Vec<Option<RawRecord>>> {
        let transaction = self.read()?;
        names.iter().map(|name| record(&transaction, &name.0)).collect()
    }

    pub(crate) async fn list(
        &self,
        index: IndexName,
        order: Order,
        after: String,
        limit: u32,
    ) -> Result<Vec<(String, RawRecord)>> {
        let store = self.clone();
        read_aside(move || list(&store.read()?, &index, order, &after, limit)).await
    }
}

/// Greater than any member of an index, which begins with a digit of base 62.
const LAST_MEMBER: &str = "~";

/// How a commit ended.
type Written = std::result::Result<CommitAnswer, LaterFormat>;

/// What a check of a commit says.
enum Checked {
    /// It was made before, or must be refused.
    Ended(Written),
    /// It may be written, and adds this to the counts.
    MayBeWritten(counts::Added),
}

fn check(transaction: &WriteTransaction, commit: &RawCommit, max_entries: u64) -> Result<Checked> {
    let ended = |answer| Ok(Checked::Ended(Ok(answer)));
    let records = transaction.open_table(RECORDS).map_err(failure)?;
    let (mut is_stale, mut before) = (false, Vec::with_capacity(commit.writes.len()));
    for (place, write) in commit.writes.iter().enumerate() {
        let stored = records.get(write.name.0.as_str()).map_err(failure)?;
        let stored = stored.map(|bytes| unpack(bytes.value(), None)).transpose()?;
        if place == 0
            && stored.is_none()
            && let Some(version) = removed_by(transaction, &write.name, &commit.event)?
        {
            return ended(CommitAnswer::Repeated(version));
        }
        if place == 0
            && let Some(before) = stored.as_ref().filter(|stored| stored.event == commit.event)
        {
            return ended(CommitAnswer::Repeated(before.version));
        }
        is_stale |= stored.as_ref().map(|stored| stored.version) != write.expect;
        before.push(stored.map(|stored| (stored.event, stored.image)));
    }
    let meta = transaction.open_table(META).map_err(failure)?;
    let format = u32::try_from(number(&meta, "format")?).unwrap_or(u32::MAX);
    if commit.format.is_some_and(|of_records| of_records.number() < format) {
        return Ok(Checked::Ended(Err(LaterFormat(format))));
    }
    if is_stale {
        return ended(CommitAnswer::Stale);
    }
    let digests = transaction.open_table(DIGESTS).map_err(failure)?;
    for (digest, name) in &commit.digests_set {
        let taken = digests.get(digest.as_bytes()).map_err(failure)?;
        if taken.is_some_and(|owner| owner.value() != name.0) {
            return ended(CommitAnswer::DigestTaken);
        }
    }
    let waiting = number(&meta, "entries")?.saturating_sub(number(&meta, "fanned")?);
    drop(meta);
    let added = counts::added(transaction, commit, &before)?;
    if let Some(refusal) = counts::refusal(transaction, commit, &added)? {
        return ended(refusal);
    }
    if commit.urgency == Urgency::Ordinary && waiting >= max_entries {
        return ended(CommitAnswer::StreamFull);
    }
    Ok(Checked::MayBeWritten(added))
}

/// Where a record was removed by this event, as long as that is known.
fn removed_by(transaction: &WriteTransaction, name: &RecordName, event: &EventId) -> Result<Option<Version>> {
    let removed = transaction.open_table(REMOVED).map_err(failure)?;
    let Some(removal) = removed.get(name.0.as_str()).map_err(failure)? else { return Ok(None) };
    let (by, version) = removal.value();
    Ok((by == event.as_str()).then(|| Version::from_u64(version)))
}

fn apply(
    transaction: &WriteTransaction,
    commit: &RawCommit,
    added: &counts::Added,
    now: Timestamp,
) -> Result<CommitAnswer> {
    let version = entries::append(transaction, &commit.event, &commit.told, now)?;
    counts::apply(transaction, commit, added)?;
    write_records(transaction, commit, version)?;
    let mut digests = transaction.open_table(DIGESTS).map_err(failure)?;
    for digest in &commit.digests_drop {
        digests.remove(digest.as_bytes()).map_err(failure)?;
    }
    for (digest, name) in &commit.digests_set {
        digests.insert(digest.as_bytes(), name.0.as_str()).map_err(failure)?;
    }
    let mut index = transaction.open_table(INDEX).map_err(failure)?;
    for (name, member) in &commit.index_drop {
        index.remove((name.0.as_str(), member.as_str())).map_err(failure)?;
    }
    for (name, member) in &commit.index_set {
        index.insert((name.0.as_str(), member.as_str()), ()).map_err(failure)?;
    }
    if let Some(secret) = &commit.sealed {
        sealed::put(transaction, commit.event.as_str(), now.as_ms(), secret)?;
    }
    for receipt in &commit.receipts {
        receipts::put(transaction, receipt, now)?;
    }
    if commit.loosens_checksum == Loosens::Yes {
        set_number(&mut transaction.open_table(META).map_err(failure)?, "loose_checksum", 1)?;
    }
    Ok(CommitAnswer::Committed(version))
}

fn write_records(transaction: &WriteTransaction, commit: &RawCommit, version: Version) -> Result<()> {
    let mut records = transaction.open_table(RECORDS).map_err(failure)?;
    for write in &commit.writes {
        let name = write.name.0.as_str();
        match &write.new {
            Some(image) => records.insert(name, pack(version, &commit.event, image).as_slice()),
            None => {
                let mut removed = transaction.open_table(REMOVED).map_err(failure)?;
                removed.insert(name, (commit.event.as_str(), version.as_u64())).map_err(failure)?;
                transaction.open_table(FIRST_USE).map_err(failure)?.remove(name).map_err(failure)?;
                records.remove(name)
            }
        }
        .map_err(failure)?;
    }
    Ok(())
}

/// Reads a record with its first use.
pub(super) fn record(transaction: &ReadTransaction, name: &str) -> Result<Option<RawRecord>> {
    let records = transaction.open_table(RECORDS).map_err(failure)?;
    let Some(bytes) = records.get(name).map_err(failure)? else { return Ok(None) };
    let first_use = transaction.open_table(FIRST_USE).map_err(failure)?;
    let first_used_at = first_use.get(name).map_err(failure)?.map(|ms| Timestamp::from_ms(ms.value()));
    unpack(bytes.value(), first_used_at).map(Some)
}

fn list(
    transaction: &ReadTransaction,
    index: &IndexName,
    order: Order,
    after: &str,
    limit: u32,
) -> Result<Vec<(String, RawRecord)>> {
    let table = transaction.open_table(INDEX).map_err(failure)?;
    let name = index.0.as_str();
    let (from, to) = match order {
        Order::NewestFirst if !after.is_empty() => ("", after),
        Order::OldestFirst | Order::NewestFirst => (after, LAST_MEMBER),
    };
    let bounds = (Bound::Excluded((name, from)), Bound::Excluded((name, to)));
    let mut range = table.range::<(&str, &str)>(bounds).map_err(failure)?;
    let mut listed = Vec::new();
    while listed.len() < limit as usize {
        let next = match order {
            Order::OldestFirst => range.next(),
            Order::NewestFirst => range.next_back(),
        };
        let Some(next) = next else { break };
        let (key, _) = next.map_err(failure)?;
        let (_, member) = key.value();
        let found = record(transaction, &member[MOMENT_DIGITS as usize..])?;
        listed.extend(found.map(|record| (member.to_owned(), record)));
    }
    Ok(listed)
}

//! Records in the embedded store.

use std::ops::Bound;

use gatepost_domain::id::EventId;
use gatepost_domain::time::{Timestamp, Version};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::database::{Embedded, read_blocking};
use super::errors::store_error;
use super::meta::{read_number, set_number};
use super::tables::{DIGESTS, FIRST_USE, INDEX, META, RECORDS, REMOVED};
use super::{account_counts, entries, sealed, stored_responses};
use crate::error::Result;
use crate::format::LaterFormat;
use crate::index::TIMESTAMP_DIGITS;
use crate::ops::{DisablesChecksum, IndexName, RawCommit, RawCommitOutcome, RawRecord, RecordName, SortOrder, Urgency};
use crate::record_format::{decode_record, encode_record};

impl Embedded {
    pub(crate) async fn commit(&self, commit: RawCommit) -> Result<CommitResult> {
        let (now, max_entries) = (self.now(), self.inner.max_entries);
        if commit.urgency == Urgency::Ordinary {
            self.inner.disk_space.check_for_ordinary()?;
        }
        let outcome = self
            .perform(move |transaction| match check_commit(transaction, &commit, max_entries)? {
                CommitCheck::Finished(result) => Ok(result),
                CommitCheck::Proceed(delta) => apply_commit(transaction, &commit, &delta, now).map(Ok),
            })
            .await?;
        if let Ok(RawCommitOutcome::Committed(version)) = outcome {
            self.publish_position(version);
        }
        Ok(outcome)
    }

    pub(crate) async fn records(&self, names: Vec<RecordName>) -> Result<Vec<Option<RawRecord>>> {
        let transaction = self.read()?;
        names.iter().map(|name| read_record(&transaction, &name.0)).collect()
    }

    pub(crate) async fn list(
        &self,
        index: IndexName,
        order: SortOrder,
        after: String,
        limit: u32,
    ) -> Result<Vec<(String, RawRecord)>> {
        let store = self.clone();
        read_blocking(move || read_list(&store.read()?, &index, order, &after, limit)).await
    }

    pub(crate) async fn count_listed(&self, index: IndexName, limit: u32) -> Result<u32> {
        let store = self.clone();
        read_blocking(move || count_members(&store.read()?, &index, limit)).await
    }
}

/// Sorts after every member of an index, which starts with a base 62 digit.
const LAST_MEMBER: &str = "~";

/// Outcome of a commit, or the store's format if it is later than that of the records.
type CommitResult = std::result::Result<RawCommitOutcome, LaterFormat>;

/// Result of checking a commit.
enum CommitCheck {
    /// It was applied before, or must be refused.
    Finished(CommitResult),
    /// It may be applied, and changes the counts by this.
    Proceed(account_counts::CountDelta),
}

fn check_commit(transaction: &WriteTransaction, commit: &RawCommit, max_entries: u64) -> Result<CommitCheck> {
    let finished = |outcome| Ok(CommitCheck::Finished(Ok(outcome)));
    let records = transaction.open_table(RECORDS).map_err(store_error)?;
    let (mut is_stale, mut current_records) = (false, Vec::with_capacity(commit.writes.len()));
    for (position, write) in commit.writes.iter().enumerate() {
        let stored = read_stored(&records, &write.name.0)?;
        if position == 0
            && stored.is_none()
            && let Some(version) = removal_version(transaction, &write.name, &commit.event)?
        {
            return finished(RawCommitOutcome::AlreadyCommitted(version));
        }
        if position == 0
            && let Some(current) = stored.as_ref().filter(|stored| stored.event == commit.event)
        {
            return finished(RawCommitOutcome::AlreadyCommitted(current.version));
        }
        is_stale |= stored.as_ref().map(|stored| stored.version) != write.expected_version;
        current_records.push(stored.map(|stored| (stored.event, stored.image)));
    }
    let meta = transaction.open_table(META).map_err(store_error)?;
    let format = u32::try_from(read_number(&meta, "format")?).unwrap_or(u32::MAX);
    if commit.format.is_some_and(|record_format| record_format.number() < format) {
        return Ok(CommitCheck::Finished(Err(LaterFormat(format))));
    }
    if is_stale {
        return finished(RawCommitOutcome::VersionConflict);
    }
    let digests = transaction.open_table(DIGESTS).map_err(store_error)?;
    for (digest, name) in &commit.digests_set {
        let existing = digests.get(digest.as_bytes()).map_err(store_error)?;
        if existing.is_some_and(|holder| holder.value() != name.0) {
            return finished(RawCommitOutcome::DigestTaken);
        }
    }
    let undelivered = read_number(&meta, "entries")?.saturating_sub(read_number(&meta, "fanned")?);
    drop(meta);
    let delta = account_counts::count_delta(transaction, commit, &current_records)?;
    if let Some(outcome) = account_counts::check_bounds(transaction, commit, &delta)? {
        return finished(outcome);
    }
    if commit.urgency == Urgency::Ordinary && undelivered >= max_entries {
        return finished(RawCommitOutcome::StreamFull);
    }
    Ok(CommitCheck::Proceed(delta))
}

/// Returns the position at which this event removed the record, while the removal is still stored.
fn removal_version(transaction: &WriteTransaction, name: &RecordName, event: &EventId) -> Result<Option<Version>> {
    let removed = transaction.open_table(REMOVED).map_err(store_error)?;
    let Some(removal) = removed.get(name.0.as_str()).map_err(store_error)? else { return Ok(None) };
    let (removing_event, version) = removal.value();
    Ok((removing_event == event.as_str()).then(|| Version::from_u64(version)))
}

fn apply_commit(
    transaction: &WriteTransaction,
    commit: &RawCommit,
    delta: &account_counts::CountDelta,
    now: Timestamp,
) -> Result<RawCommitOutcome> {
    let version = entries::append(transaction, &commit.event, &commit.payload, now)?;
    account_counts::apply(transaction, commit, delta)?;
    write_records(transaction, commit, version)?;
    let mut digests = transaction.open_table(DIGESTS).map_err(store_error)?;
    for digest in &commit.digests_drop {
        digests.remove(digest.as_bytes()).map_err(store_error)?;
    }
    for (digest, name) in &commit.digests_set {
        digests.insert(digest.as_bytes(), name.0.as_str()).map_err(store_error)?;
    }
    let mut index = transaction.open_table(INDEX).map_err(store_error)?;
    for (name, member) in &commit.index_drop {
        index.remove((name.0.as_str(), member.as_str())).map_err(store_error)?;
    }
    for (name, member) in &commit.index_set {
        index.insert((name.0.as_str(), member.as_str()), ()).map_err(store_error)?;
    }
    if let Some(secret) = &commit.sealed {
        sealed::put(transaction, commit.event.as_str(), now.as_ms(), secret)?;
    }
    for response in &commit.stored_responses {
        stored_responses::store_response(transaction, response, now)?;
    }
    if commit.disables_checksum == DisablesChecksum::Yes {
        set_number(&mut transaction.open_table(META).map_err(store_error)?, "loose_checksum", 1)?;
    }
    Ok(RawCommitOutcome::Committed(version))
}

fn write_records(transaction: &WriteTransaction, commit: &RawCommit, version: Version) -> Result<()> {
    let mut records = transaction.open_table(RECORDS).map_err(store_error)?;
    for write in &commit.writes {
        let name = write.name.0.as_str();
        match &write.new {
            Some(image) => records.insert(name, encode_record(version, &commit.event, image).as_slice()),
            None => {
                let mut removed = transaction.open_table(REMOVED).map_err(store_error)?;
                removed.insert(name, (commit.event.as_str(), version.as_u64())).map_err(store_error)?;
                transaction.open_table(FIRST_USE).map_err(store_error)?.remove(name).map_err(store_error)?;
                records.remove(name)
            }
        }
        .map_err(store_error)?;
    }
    Ok(())
}

/// Reads a record without its first use.
pub(super) fn read_stored(
    records: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<RawRecord>> {
    records.get(name).map_err(store_error)?.map(|bytes| decode_record(bytes.value(), None)).transpose()
}

/// Reads a record with its first use.
pub(super) fn read_record(transaction: &ReadTransaction, name: &str) -> Result<Option<RawRecord>> {
    let records = transaction.open_table(RECORDS).map_err(store_error)?;
    let Some(bytes) = records.get(name).map_err(store_error)? else { return Ok(None) };
    let first_use = transaction.open_table(FIRST_USE).map_err(store_error)?;
    let first_used_at = first_use.get(name).map_err(store_error)?.map(|ms| Timestamp::from_ms(ms.value()));
    decode_record(bytes.value(), first_used_at).map(Some)
}

fn count_members(transaction: &ReadTransaction, index: &IndexName, limit: u32) -> Result<u32> {
    let table = transaction.open_table(INDEX).map_err(store_error)?;
    let name = index.0.as_str();
    let bounds = (Bound::Excluded((name, "")), Bound::Excluded((name, LAST_MEMBER)));
    let members = table.range::<(&str, &str)>(bounds).map_err(store_error)?.take(limit as usize);
    members.map(|member| member.map(|_| 1).map_err(store_error)).sum()
}

fn read_list(
    transaction: &ReadTransaction,
    index: &IndexName,
    order: SortOrder,
    after: &str,
    limit: u32,
) -> Result<Vec<(String, RawRecord)>> {
    let table = transaction.open_table(INDEX).map_err(store_error)?;
    let name = index.0.as_str();
    let (from, to) = match order {
        SortOrder::NewestFirst if !after.is_empty() => ("", after),
        SortOrder::OldestFirst | SortOrder::NewestFirst => (after, LAST_MEMBER),
    };
    let bounds = (Bound::Excluded((name, from)), Bound::Excluded((name, to)));
    let mut range = table.range::<(&str, &str)>(bounds).map_err(store_error)?;
    let mut listed = Vec::new();
    while listed.len() < limit as usize {
        let next = match order {
            SortOrder::OldestFirst => range.next(),
            SortOrder::NewestFirst => range.next_back(),
        };
        let Some(next) = next else { break };
        let (key, _) = next.map_err(store_error)?;
        let (_, member) = key.value();
        let read = read_record(transaction, &member[TIMESTAMP_DIGITS as usize..])?;
        listed.extend(read.map(|record| (member.to_owned(), record)));
    }
    Ok(listed)
}

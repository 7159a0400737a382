//! Reading everything that an embedded store has, for a copy to another store. The tables of queues are in
//! `copy_queue_reads`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatepost_domain::partition::PartitionGroup;
use gatepost_domain::time::Version;
use redb::ReadTransaction;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::copy_queue_reads as queues;
use super::copy_rows::{TablePage, read_rows};
use super::database::{Embedded, read_blocking};
use super::entries;
use super::errors::store_error;
use super::meta::read_number;
use super::tables::{
    COUNTING_PROGRESS, COUNTS, DIGESTS, FIRST_USE, INDEX, KEY_USAGE, LAST_USED, META, PAST_USAGE, RECORDS, REMOVED,
    SEALED, STORED_RESPONSES, STREAM, USAGE, WINDOW_LIMITS, WINDOWS,
};
use crate::copied_entry::{CopiedBatch, CopiedEntry, CopiedKeyUsage, CopiedWindow, StoreNumber};
use crate::error::{Result, StoreErrorKind};
use crate::ops::UsesPart;
use crate::record_format::decode_record;

/// Reads the next rows of a table, after a key.
type TableReader = fn(&ReadTransaction, Option<&[u8]>) -> Result<TablePage>;

/// Readers of all tables that are copied, in their order. A position names its reader by the index.
const READERS: [TableReader; 26] = [
    records,
    first_uses,
    digests,
    index_members,
    changes,
    sealed_secrets,
    stored_responses,
    removals,
    queues::event_bodies,
    queues::deliveries,
    queues::holds,
    queues::failures,
    queues::attempts,
    queues::log_entries,
    queues::log_checks,
    queues::hours,
    queues::recoveries,
    queues::dead_letters,
    queues::quarantine,
    windows,
    usage,
    last_uses,
    key_usage,
    past_usage,
    counts,
    counting_progress,
];

/// Position between two rows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Position {
    reader: usize,
    /// Key of the row before, base64.
    after: Option<String>,
}

impl Embedded {
    /// Reads everything after a position, or from the start.
    pub(crate) async fn read_entries(&self, from: Option<String>, out: mpsc::Sender<CopiedBatch>) -> Result<()> {
        let corrupt = |error: serde_json::Error| StoreErrorKind::Corrupt.with(error);
        let mut position: Position = match from {
            Some(text) => serde_json::from_str(&text).map_err(corrupt)?,
            None => Position::default(),
        };
        let numbers = self.store_numbers().await?;
        let numbers = numbers.into_iter().map(|(number, value)| CopiedEntry::Number { number, value });
        send(&out, CopiedBatch { entries: numbers.collect(), position: None }).await?;
        while position.reader < READERS.len() {
            let (store, current) = (self.clone(), position.clone());
            let page = read_blocking(move || read_page(&store, &current)).await?;
            position = match page.last {
                Some(key) => Position { after: Some(URL_SAFE_NO_PAD.encode(key)), ..position },
                None => Position { reader: position.reader + 1, after: None },
            };
            let text = serde_json::to_string(&position).map_err(corrupt)?;
            send(&out, CopiedBatch { entries: page.entries, position: Some(text) }).await?;
        }
        Ok(())
    }

    /// Reads the numbers of the store that are not 0.
    pub(crate) async fn store_numbers(&self) -> Result<Vec<(StoreNumber, u64)>> {
        let meta = self.read()?.open_table(META).map_err(store_error)?;
        let numbers =
            StoreNumber::ALL.into_iter().map(|number| Ok((number, read_number(&meta, number.embedded_field())?)));
        numbers.filter(|number| !matches!(number, Ok((_, 0)))).collect()
    }
}

async fn send(out: &mpsc::Sender<CopiedBatch>, batch: CopiedBatch) -> Result<()> {
    out.send(batch).await.map_err(|_| StoreErrorKind::Unavailable.with("the copy was given up"))
}

fn read_page(store: &Embedded, position: &Position) -> Result<TablePage> {
    let after = position.after.as_ref().map(|text| URL_SAFE_NO_PAD.decode(text)).transpose();
    let after = after.map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    READERS[position.reader](&store.read()?, after.as_deref())
}

fn records(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, RECORDS, after, |name, bytes| {
        Ok(Some(CopiedEntry::Record { name: name.to_owned(), bytes: bytes.to_vec() }))
    })
}

fn first_uses(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, FIRST_USE, after, |key, ms| Ok(Some(CopiedEntry::FirstUse { key: key.to_owned(), ms })))
}

fn digests(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, DIGESTS, after, |digest, record| {
        Ok(Some(CopiedEntry::Digest { digest: *digest, record: record.to_owned() }))
    })
}

fn index_members(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, INDEX, after, |(index, member), ()| {
        Ok(Some(CopiedEntry::IndexMember { index: index.to_owned(), member: member.to_owned() }))
    })
}

fn changes(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, STREAM, after, |version, bytes| {
        entries::to_copied(Version::from_u64(version), bytes).map(CopiedEntry::Change).map(Some)
    })
}

fn sealed_secrets(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, SEALED, after, |event, (ms, sealed)| {
        Ok(Some(CopiedEntry::SealedSecret { event: event.to_owned(), ms, sealed: sealed.to_vec() }))
    })
}

fn stored_responses(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, STORED_RESPONSES, after, |name, (expires_ms, sealed)| {
        Ok(Some(CopiedEntry::StoredResponse { name: name.to_owned(), expires_ms, sealed: sealed.to_vec() }))
    })
}

fn removals(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, REMOVED, after, |record, (event, version)| {
        let (record, event) = (record.to_owned(), event.to_owned());
        Ok(Some(CopiedEntry::Removal { record, event, version: Version::from_u64(version) }))
    })
}

fn windows(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    let limits = transaction.open_table(WINDOW_LIMITS).map_err(store_error)?;
    read_rows(transaction, WINDOWS, after, |name, (ends_at_ms, leased)| {
        let limit = limits.get(name).map_err(store_error)?.map(|limit| limit.value());
        let (generation, limit, length_ms) = limit.unwrap_or_default();
        let name = name.to_owned();
        Ok(Some(CopiedEntry::Window(CopiedWindow { name, ends_at_ms, leased, generation, limit, length_ms })))
    })
}

fn usage(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, USAGE, after, |(hour, project, key), count| {
        Ok(Some(CopiedEntry::Usage { hour, project: project.to_owned(), key: key.to_owned(), count }))
    })
}

/// Redis keeps the last uses by project, which only the record of the key names. No operation reads those of a key
/// without a record.
fn last_uses(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    let records = transaction.open_table(RECORDS).map_err(store_error)?;
    read_rows(transaction, LAST_USED, after, |key, ms| {
        let Some(record) = records.get(key).map_err(store_error)? else { return Ok(None) };
        let project = decode_record(record.value(), None)?.image.parent;
        Ok(Some(CopiedEntry::LastUse { project, key: key.to_owned(), ms }))
    })
}

fn key_usage(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, KEY_USAGE, after, |key, uses| usage_entry(key, UsesPart::Recent, uses).map(Some))
}

fn past_usage(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, PAST_USAGE, after, |key, uses| usage_entry(key, UsesPart::Past, uses).map(Some))
}

fn usage_entry((project, group, key): (&str, u8, &str), part: UsesPart, uses: &[u8]) -> Result<CopiedEntry> {
    let group = PartitionGroup::new(group).ok_or_else(|| StoreErrorKind::Corrupt.with("usage of an unknown group"))?;
    let (project, key, uses) = (project.to_owned(), key.to_owned(), uses.to_vec());
    Ok(CopiedEntry::KeyUsage(CopiedKeyUsage { project, group, part, key, uses }))
}

fn counts(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, COUNTS, after, |(account, resource), count| {
        Ok(Some(CopiedEntry::AccountCount { account: account.to_owned(), resource: resource.to_owned(), count }))
    })
}

fn counting_progress(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, COUNTING_PROGRESS, after, |index, member| {
        Ok(Some(CopiedEntry::CountingProgress { index: index.to_owned(), member: member.to_owned() }))
    })
}

//! Writing entries of another store into an embedded store. Each write can be repeated.

use std::sync::Arc;

use redb::WriteTransaction;

use super::copy_queue_writes as queues;
use super::database::Embedded;
use super::entries;
use super::errors::store_error;
use super::meta::set_number;
use super::sealed;
use super::tables::{
    COUNTING_PROGRESS, COUNTS, DIGESTS, FIRST_USE, INDEX, KEY_USAGE, LAST_USED, META, PAST_USAGE, RECORDS, REMOVED,
    STORED_RESPONSE_EXPIRY, STORED_RESPONSES, STREAM, USAGE, WINDOW_LIMITS, WINDOWS,
};
use crate::copied_entry::{CopiedEntry, CopiedKeyUsage, CopiedWindow};
use crate::error::Result;
use crate::ops::UsesPart;

impl Embedded {
    /// Writes entries of another store in one transaction.
    pub(crate) async fn write_entries(&self, entries: Vec<CopiedEntry>) -> Result<()> {
        let entries = Arc::new(entries);
        self.perform(move |transaction| entries.iter().try_for_each(|entry| write(transaction, entry))).await
    }
}

fn write(transaction: &WriteTransaction, entry: &CopiedEntry) -> Result<()> {
    macro_rules! insert {
        ($table:ident, $key:expr, $value:expr) => {
            transaction.open_table($table).map_err(store_error)?.insert($key, $value).map(drop).map_err(store_error)
        };
    }
    match entry {
        CopiedEntry::Number { number, value } => {
            let mut meta = transaction.open_table(META).map_err(store_error)?;
            set_number(&mut meta, number.embedded_field(), *value)
        }
        CopiedEntry::Record { name, bytes } => insert!(RECORDS, name.as_str(), bytes.as_slice()),
        CopiedEntry::FirstUse { key, ms } => insert!(FIRST_USE, key.as_str(), *ms),
        CopiedEntry::Digest { digest, record } => insert!(DIGESTS, digest, record.as_str()),
        CopiedEntry::IndexMember { index, member } => insert!(INDEX, (index.as_str(), member.as_str()), ()),
        CopiedEntry::Change(change) => {
            insert!(STREAM, change.version.as_u64(), entries::from_copied(change)?.as_slice())
        }
        CopiedEntry::SealedSecret { event, ms, sealed } => sealed::put(transaction, event, *ms, sealed),
        CopiedEntry::StoredResponse { name, expires_ms, sealed } => {
            insert!(STORED_RESPONSES, name.as_str(), (*expires_ms, sealed.as_slice()))?;
            insert!(STORED_RESPONSE_EXPIRY, (*expires_ms, name.as_str()), ())
        }
        CopiedEntry::Removal { record, event, version } => {
            insert!(REMOVED, record.as_str(), (event.as_str(), version.as_u64()))
        }
        CopiedEntry::Window(window) => write_window(transaction, window),
        CopiedEntry::Usage { hour, project, key, count } => {
            insert!(USAGE, (*hour, project.as_str(), key.as_str()), *count)
        }
        CopiedEntry::KeyUsage(CopiedKeyUsage { project, group, part, key, uses }) => {
            let row_key = (project.as_str(), group.number(), key.as_str());
            match part {
                UsesPart::Recent => insert!(KEY_USAGE, row_key, uses.as_slice()),
                UsesPart::Past => insert!(PAST_USAGE, row_key, uses.as_slice()),
            }
        }
        CopiedEntry::LastUse { project: _, key, ms } => insert!(LAST_USED, key.as_str(), *ms),
        CopiedEntry::AccountCount { account, resource, count } => {
            insert!(COUNTS, (account.as_str(), resource.as_str()), *count)
        }
        CopiedEntry::CountingProgress { index, member } => insert!(COUNTING_PROGRESS, index.as_str(), member.as_str()),
        CopiedEntry::EventBody { .. }
        | CopiedEntry::Delivery(_)
        | CopiedEntry::Hold { .. }
        | CopiedEntry::Failures { .. }
        | CopiedEntry::Attempts { .. }
        | CopiedEntry::LogEntry(_)
        | CopiedEntry::LogCheck { .. }
        | CopiedEntry::Hour { .. }
        | CopiedEntry::Recovery { .. }
        | CopiedEntry::DeadLetter(_)
        | CopiedEntry::Quarantined { .. } => queues::write(transaction, entry),
    }
}

fn write_window(transaction: &WriteTransaction, window: &CopiedWindow) -> Result<()> {
    let name = window.name.as_str();
    let mut windows = transaction.open_table(WINDOWS).map_err(store_error)?;
    windows.insert(name, (window.ends_at_ms, window.leased)).map_err(store_error)?;
    let mut limits = transaction.open_table(WINDOW_LIMITS).map_err(store_error)?;
    limits.insert(name, (window.generation, window.limit, window.length_ms)).map_err(store_error)?;
    Ok(())
}

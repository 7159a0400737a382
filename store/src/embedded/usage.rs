//! Usage in the embedded store, from format 2 on.

use std::ops::Bound;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition};

use super::database::{Embedded, read_blocking};
use super::errors::store_error;
use super::tables::{KEY_USAGE, PAST_USAGE, UsageKey};
use crate::error::Result;
use crate::ops::{KeyGroup, RolledUpUses, StoredUses, UsesPage};
use crate::usage::recent;

impl KeyGroup {
    fn row<'a>(&'a self, key: &'a str) -> (&'a str, u8, &'a str) {
        (self.project.as_str(), self.group.number(), key)
    }
}

impl Embedded {
    pub(crate) async fn add_usage(&self, group: KeyGroup, usage: Vec<(String, u64)>) -> Result<()> {
        let now = self.now();
        self.perform(move |transaction| {
            let mut table = transaction.open_table(KEY_USAGE).map_err(store_error)?;
            let total = usage.iter().map(|(_, count)| count).sum();
            for (key, count) in usage.iter().map(|(key, count)| (key.as_str(), *count)).chain([("", total)]) {
                let stored = table.get(group.row(key)).map_err(store_error)?.map(|uses| uses.value().to_vec());
                let uses = recent::add(stored.as_deref(), now, count);
                table.insert(group.row(key), uses.as_slice()).map_err(store_error)?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn key_uses(&self, group: KeyGroup, keys: Vec<String>) -> Result<Vec<StoredUses>> {
        let transaction = self.read()?;
        let (recent, past) = (open(&transaction, KEY_USAGE)?, open(&transaction, PAST_USAGE)?);
        let uses = |key: &String| {
            Ok(StoredUses { recent: bytes(&recent, group.row(key))?, past: bytes(&past, group.row(key))? })
        };
        keys.iter().map(uses).collect()
    }

    pub(crate) async fn uses_page(
        &self,
        group: KeyGroup,
        from: Option<String>,
        since_hour: u64,
        limit: usize,
    ) -> Result<UsesPage> {
        let (store, read_at) = (self.clone(), self.now());
        read_blocking(move || {
            let transaction = store.read()?;
            let (recent, past) = (open(&transaction, KEY_USAGE)?, open(&transaction, PAST_USAGE)?);
            let start = match &from {
                None => Bound::Included(group.row("")),
                Some(key) => Bound::Excluded(group.row(key)),
            };
            let end = Bound::Excluded((group.project.as_str(), group.group.number() + 1, ""));
            let mut page = UsesPage { uses: Vec::new(), next: None, read_at };
            for (index, row) in recent.range((start, end)).map_err(store_error)?.enumerate() {
                let (row_key, uses) = row.map_err(store_error)?;
                let key = row_key.value().2.to_owned();
                if index + 1 >= limit {
                    page.next = Some(key.clone());
                }
                let uses = StoredUses { recent: uses.value().to_vec(), past: bytes(&past, group.row(&key))? };
                // What cannot be decoded is for the caller to report.
                if uses.last_used_hour().is_none_or(|hour| hour >= since_hour) {
                    page.uses.push((key, uses));
                }
                if page.next.is_some() {
                    break;
                }
            }
            Ok(page)
        })
        .await
    }

    pub(crate) async fn roll_up(&self, group: KeyGroup, uses: Vec<RolledUpUses>) -> Result<()> {
        self.perform(move |transaction| {
            let mut recent = transaction.open_table(KEY_USAGE).map_err(store_error)?;
            let mut past = transaction.open_table(PAST_USAGE).map_err(store_error)?;
            for RolledUpUses { key, read, new } in &uses {
                if bytes(&recent, group.row(key))? != *read {
                    continue;
                }
                for (table, bytes) in [(&mut recent, &new.recent), (&mut past, &new.past)] {
                    if bytes.is_empty() {
                        table.remove(group.row(key)).map_err(store_error)?;
                    } else {
                        table.insert(group.row(key), bytes.as_slice()).map_err(store_error)?;
                    }
                }
            }
            Ok(())
        })
        .await
    }
}

fn open(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, UsageKey, &'static [u8]>,
) -> Result<ReadOnlyTable<UsageKey, &'static [u8]>> {
    transaction.open_table(table).map_err(store_error)
}

/// Returns the bytes in a row; none if it does not exist.
fn bytes(table: &impl ReadableTable<UsageKey, &'static [u8]>, row: (&str, u8, &str)) -> Result<Vec<u8>> {
    Ok(table.get(row).map_err(store_error)?.map(|uses| uses.value().to_vec()).unwrap_or_default())
}

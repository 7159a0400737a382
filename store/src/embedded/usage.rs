//! Usage in the embedded store, from format 2 on.

use std::ops::Bound;

use redb::ReadableTable;

use super::database::{Embedded, read_blocking};
use super::errors::store_error;
use super::tables::KEY_USAGE;
use crate::error::Result;
use crate::ops::{KeyGroup, PackedUses, PackedUsesPage, PackedUsesSwap};
use crate::usage::packed;

impl Embedded {
    pub(crate) async fn add_usage(&self, group: KeyGroup, usage: Vec<(String, u64)>) -> Result<()> {
        let now = self.now();
        self.perform(move |transaction| {
            let mut table = transaction.open_table(KEY_USAGE).map_err(store_error)?;
            let total = usage.iter().map(|(_, count)| count).sum();
            let rows = usage.iter().map(|(key, count)| (key.as_str(), *count)).chain([("", total)]);
            for (key, count) in rows {
                let row_key = (group.project.as_str(), group.group.number(), key);
                let stored = table.get(row_key).map_err(store_error)?.map(|packed| packed.value().to_vec());
                let packed = packed::add(stored.as_deref(), now, count);
                table.insert(row_key, packed.as_slice()).map_err(store_error)?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn packed_usage(&self, group: KeyGroup, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>> {
        let table = self.read()?.open_table(KEY_USAGE).map_err(store_error)?;
        let read = |key: &String| {
            let row_key = (group.project.as_str(), group.group.number(), key.as_str());
            Ok(table.get(row_key).map_err(store_error)?.map(|packed| packed.value().to_vec()))
        };
        keys.iter().map(read).collect()
    }

    pub(crate) async fn packed_usage_page(
        &self,
        group: KeyGroup,
        from: Option<String>,
        used_since_ms: u64,
        limit: u32,
    ) -> Result<PackedUsesPage> {
        let store = self.clone();
        read_blocking(move || {
            let table = store.read()?.open_table(KEY_USAGE).map_err(store_error)?;
            let (project, number) = (group.project.as_str(), group.group.number());
            let start = match &from {
                None => Bound::Included((project, number, "")),
                Some(key) => Bound::Excluded((project, number, key.as_str())),
            };
            let mut page = PackedUsesPage { uses: Vec::new(), next: None };
            let rows = table.range((start, Bound::Excluded((project, number + 1, "")))).map_err(store_error)?;
            for (index, row) in rows.enumerate() {
                let (row_key, packed) = row.map_err(store_error)?;
                let (packed, key) = (packed.value(), row_key.value().2.to_owned());
                if index + 1 >= limit as usize {
                    page.next = Some(key.clone());
                }
                if packed::last_used(packed)?.as_ms() >= used_since_ms {
                    page.uses.push(PackedUses { key, packed: packed.to_vec() });
                }
                if page.next.is_some() {
                    break;
                }
            }
            Ok(page)
        })
        .await
    }

    pub(crate) async fn swap_packed_usage(&self, group: KeyGroup, swaps: Vec<PackedUsesSwap>) -> Result<()> {
        self.perform(move |transaction| {
            let mut table = transaction.open_table(KEY_USAGE).map_err(store_error)?;
            for swap in &swaps {
                let row_key = (group.project.as_str(), group.group.number(), swap.key.as_str());
                let stored = table.get(row_key).map_err(store_error)?.map(|packed| packed.value().to_vec());
                if stored.as_deref() == Some(swap.read.as_slice()) {
                    match &swap.new {
                        Some(new) => table.insert(row_key, new.as_slice()).map(drop),
                        None => table.remove(row_key).map(drop),
                    }
                    .map_err(store_error)?;
                }
            }
            Ok(())
        })
        .await
    }
}

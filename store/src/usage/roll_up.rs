//! Replacing old hours by days, and old days by months.

use std::collections::HashSet;

use gatepost_domain::id::ProjectId;
use gatepost_domain::partition::PartitionGroup;

use super::packed;
use super::period::key_group;
use crate::cell_store::CellStore;
use crate::error::Result;
use crate::ops::{PackedUses, PackedUsesSwap, RecordName};

/// Keys that are rolled up together.
const PAGE_KEYS: u32 = 100;

/// Keys of a project that are to be rolled up next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollUpPosition {
    group: PartitionGroup,
    from: Option<String>,
}

impl CellStore {
    /// Packs the uses of some keys of a project as they are kept at this time, and forgets removed keys once nothing of
    /// them is kept. Starts with the first keys without a position; returns that of the next keys, `None` at the end.
    /// Uses that are added at the same time are kept.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`]. It can be repeated.
    pub async fn roll_up_usage(
        &self,
        project: &ProjectId,
        position: Option<RollUpPosition>,
    ) -> Result<Option<RollUpPosition>> {
        let Some(first) = PartitionGroup::new(0) else { return Ok(None) };
        let RollUpPosition { group, from } = position.unwrap_or(RollUpPosition { group: first, from: None });
        let keys = key_group(project, group);
        let page = self.backend.packed_usage_page(keys.clone(), from, 0, PAGE_KEYS).await?;
        let swaps = self.swaps(page.uses).await?;
        if !swaps.is_empty() {
            self.backend.swap_packed_usage(keys, swaps).await?;
        }
        Ok(match (page.next, PartitionGroup::new(group.number() + 1)) {
            (Some(next), _) => Some(RollUpPosition { group, from: Some(next) }),
            (None, next) => next.map(|group| RollUpPosition { group, from: None }),
        })
    }

    async fn swaps(&self, uses: Vec<PackedUses>) -> Result<Vec<PackedUsesSwap>> {
        let now = self.clock.now();
        let mut swaps = Vec::new();
        let mut unused = Vec::new();
        for PackedUses { key, packed } in uses {
            let repacked = packed::repack(&packed, self.usage_retention, now)?;
            if packed::uses(&repacked)?.is_empty() {
                unused.push(key.clone());
            }
            if repacked != packed || unused.last() == Some(&key) {
                swaps.push(PackedUsesSwap { key, read: packed, new: Some(repacked) });
            }
        }
        let removed = self.removed_keys(unused).await?;
        for swap in swaps.iter_mut().filter(|swap| removed.contains(&swap.key)) {
            swap.new = None;
        }
        swaps.retain(|swap| swap.new.as_ref() != Some(&swap.read));
        Ok(swaps)
    }

    /// Returns those of the keys that have no record.
    async fn removed_keys(&self, keys: Vec<String>) -> Result<HashSet<String>> {
        let keys: Vec<String> = keys.into_iter().filter(|key| !key.is_empty()).collect();
        if keys.is_empty() {
            return Ok(HashSet::new());
        }
        let records = self.backend.records(keys.iter().cloned().map(RecordName).collect()).await?;
        Ok(keys.into_iter().zip(records).filter(|(_, record)| record.is_none()).map(|(key, _)| key).collect())
    }
}

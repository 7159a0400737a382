//! Replacing old hours by days, and old days by months.

use std::collections::{HashMap, HashSet};

use gatepost_domain::id::ProjectId;
use gatepost_domain::partition::{Partition, PartitionGroup};
use gatepost_domain::time::Timestamp;
use gatepost_runtime::error_chain;

use super::period::key_group;
use super::recent;
use super::uses::Uses;
use crate::cell_store::CellStore;
use crate::error::Result;
use crate::format::Format;
use crate::ops::{KeyGroup, RawLastUse, RecordName, RolledUpUses, StoredUses};
use crate::options::MAX_KEYS_TOGETHER;

/// What of a project is to be rolled up next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollUpPosition(Next);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// Last uses of the first format.
    LastUses { from: Option<String> },
    /// Keys of a group.
    Keys { group: PartitionGroup, from: Option<String> },
}

impl CellStore {
    /// Packs the uses of some keys of a project as they are kept at this time, and forgets removed keys once nothing of
    /// them is kept. Starts with the first keys without a position; returns that of the next keys, `None` at the end.
    /// Uses that are added at the same time are kept. Last uses of the first format are moved first.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`]. It can be repeated.
    pub async fn roll_up_usage(
        &self,
        project: &ProjectId,
        position: Option<RollUpPosition>,
    ) -> Result<Option<RollUpPosition>> {
        let next = match position.map_or(Next::LastUses { from: None }, |position| position.0) {
            Next::LastUses { from } => match self.move_last_uses(project, from).await? {
                Some(next) => Some(Next::LastUses { from: Some(next) }),
                None => PartitionGroup::new(0).map(|group| Next::Keys { group, from: None }),
            },
            Next::Keys { group, from } => self.roll_up_page(project, group, from).await?,
        };
        Ok(next.map(RollUpPosition))
    }

    async fn roll_up_page(
        &self,
        project: &ProjectId,
        group: PartitionGroup,
        from: Option<String>,
    ) -> Result<Option<Next>> {
        let keys = key_group(project, group);
        let page = self.backend.uses_page(keys.clone(), from, 0, MAX_KEYS_TOGETHER).await?;
        let changed = self.changed(page.uses, page.read_at).await?;
        if !changed.is_empty() {
            self.backend.roll_up(keys, changed).await?;
        }
        Ok(match (page.next, PartitionGroup::new(group.number() + 1)) {
            (Some(next), _) => Some(Next::Keys { group, from: Some(next) }),
            (None, next) => next.map(|group| Next::Keys { group, from: None }),
        })
    }

    /// Moves some last uses of the first format, except of keys that were used since. Returns where to go on, if there may
    /// be others.
    async fn move_last_uses(&self, project: &ProjectId, from: Option<String>) -> Result<Option<String>> {
        if self.format() < Format::USAGE_BY_KEY {
            return Ok(None);
        }
        let page = self.backend.last_uses_page(project.to_string(), from, MAX_KEYS_TOGETHER).await?;
        let mut groups: HashMap<KeyGroup, Vec<RolledUpUses>> = HashMap::new();
        for last_use in page.uses.iter().filter(|last_use| !last_use.project.is_empty()) {
            let RawLastUse { project, key, ms } = last_use;
            let group = KeyGroup { project: project.clone(), group: Partition::of_id(key).group() };
            let recent = recent::add(None, Timestamp::from_ms(*ms), 0);
            let new = StoredUses { recent, past: Vec::new() };
            groups.entry(group).or_default().push(RolledUpUses { key: key.clone(), read: Vec::new(), new });
        }
        for (group, uses) in groups {
            self.backend.roll_up(group, uses).await?;
        }
        if !page.uses.is_empty() {
            self.backend.remove_last_uses(project.to_string(), page.uses).await?;
        }
        Ok(page.next)
    }

    /// Returns those of the uses that a roll-up changes. It forgets by the store's clock: what it removes never returns,
    /// and the clock of one deliverer may be wrong.
    async fn changed(&self, uses: Vec<(String, StoredUses)>, now: Timestamp) -> Result<Vec<RolledUpUses>> {
        let (mut rolled_up, mut unused) = (Vec::new(), Vec::new());
        for (key, stored) in uses {
            match self.roll_up_key(&stored, now) {
                Ok((kept, new)) => {
                    if kept.is_empty() {
                        unused.push(key.clone());
                    }
                    rolled_up.push((key, stored, new));
                }
                Err(error) => {
                    tracing::warn!(key, error = %error_chain(&error), "the uses of a key are left as they are")
                }
            }
        }
        let removed = self.removed_keys(unused).await?;
        let replaced = rolled_up.into_iter().map(|(key, stored, new)| {
            let new = if removed.contains(&key) { StoredUses::default() } else { new };
            (key, stored, new)
        });
        let changed = replaced.filter(|(_, stored, new)| stored != new);
        Ok(changed.map(|(key, stored, new)| RolledUpUses { key, read: stored.recent, new }).collect())
    }

    /// Returns what is kept of uses, and how it is stored.
    fn roll_up_key(&self, stored: &StoredUses, now: Timestamp) -> Result<(Uses, StoredUses)> {
        Ok((stored.kept(self.usage_retention, now)?, stored.rolled_up(self.usage_retention, now)?))
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

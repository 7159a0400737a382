//! Adding uses, and reports of a project and of one key.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::partition::PartitionGroup;
use gatepost_domain::time::Timestamp;

use super::of_keys::UsageOfKeys;
use super::period::{PeriodUsage, hours, key_group, periods};
use super::uses::Uses;
use crate::cell_store::CellStore;
use crate::error::Result;
use crate::format::Format;

impl CellStore {
    /// Adds uses of a project's keys to the current hour and sets their last use to now.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`]. After an error the uses may have been added: a retry may count them twice, no
    /// retry may lose them. Those of more than [`MAX_KEYS_TOGETHER`](crate::MAX_KEYS_TOGETHER) keys, or of keys of several
    /// partition groups, may have been added in part.
    pub async fn add_usage(&self, project: &ProjectId, usage: &[(KeyId, u64)]) -> Result<()> {
        if self.format() < Format::USAGE_BY_KEY {
            let usage = usage.iter().map(|(key, count)| (key.to_string(), *count)).collect();
            return self.backend.add_hourly_usage(project.to_string(), usage).await;
        }
        let mut groups: BTreeMap<PartitionGroup, BTreeMap<String, u64>> = BTreeMap::new();
        for (key, count) in usage {
            *groups.entry(key.partition().group()).or_default().entry(key.to_string()).or_default() += count;
        }
        for (group, usage) in groups {
            self.backend.add_usage(key_group(project, group), usage.into_iter().collect()).await?;
        }
        Ok(())
    }

    /// Returns the uses of all keys of a project together in the periods that start at or after `from` and before `to`,
    /// oldest first.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn project_usage(&self, project: &ProjectId, from: Timestamp, to: Timestamp) -> Result<Vec<PeriodUsage>> {
        let hours = hours(from, to);
        let mut uses = self.hourly_project_usage(project, &hours).await?;
        let sums =
            PartitionGroup::all().map(|group| self.backend.key_uses(key_group(project, group), vec![String::new()]));
        for stored in try_join_all(sums).await?.iter().flatten() {
            self.add_kept(&mut uses, stored, &hours)?;
        }
        Ok(periods(None, uses))
    }

    /// Returns the uses of one key, like [`CellStore::project_usage`], without reading those of other keys.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn key_usage(
        &self,
        project: &ProjectId,
        key: &KeyId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<PeriodUsage>> {
        let hours = hours(from, to);
        let mut uses = Uses::new();
        for part in self.hourly_parts(&hours) {
            let (project, key) = (project.to_string(), key.to_string());
            uses.extend(self.backend.hourly_key_usage(project, key, part.start, part.end).await?);
        }
        let group = key_group(project, key.partition().group());
        for stored in &self.backend.key_uses(group, vec![key.to_string()]).await? {
            self.add_kept(&mut uses, stored, &hours)?;
        }
        Ok(periods(Some(key), uses))
    }

    /// Returns the uses of each key of a project in the periods that start at or after `from` and before `to`. Reads are
    /// made by [`UsageOfKeys::next_rows`].
    pub fn usage_of_keys(&self, project: &ProjectId, from: Timestamp, to: Timestamp) -> UsageOfKeys {
        UsageOfKeys::new(self.clone(), project, hours(from, to))
    }

    /// Returns when keys of a project were last used, in the order of `keys`. Gateways report a use within a second.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn last_used(&self, project: &ProjectId, keys: &[&KeyId]) -> Result<Vec<Option<Timestamp>>> {
        let names = keys.iter().map(ToString::to_string).collect();
        let mut last_used = self.backend.hourly_last_used(project.to_string(), names).await?;
        last_used.resize(keys.len(), None);
        let mut groups: BTreeMap<PartitionGroup, Vec<usize>> = BTreeMap::new();
        for (position, key) in keys.iter().enumerate() {
            groups.entry(key.partition().group()).or_default().push(position);
        }
        for (group, positions) in groups {
            let names = positions.iter().map(|position| keys[*position].to_string()).collect();
            let uses = self.backend.key_uses(key_group(project, group), names).await?;
            for (position, uses) in positions.into_iter().zip(uses) {
                last_used[position] = last_used[position].max(uses.last_used()?);
            }
        }
        Ok(last_used)
    }
}

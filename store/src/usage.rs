//! Usage of keys: counts per hour of the store's clock, and the time of each key's last use.

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::HOUR_MS;

use crate::cell_store::CellStore;
use crate::error::{Result, StoreErrorKind};
use crate::ops::{RawUsage, UsageGrouping};

/// Number of uses of a key, or of all keys of a project, in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourUsage {
    /// Start of the hour.
    pub hour: Timestamp,
    /// The key; `None` for the whole project.
    pub key: Option<KeyId>,
    /// Number of uses.
    pub count: u64,
}

impl CellStore {
    /// Adds uses of a project's keys to the current hour and sets their last use to now.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`]. After an error the uses may have been added, in part on Redis, which takes 100
    /// keys at a time: a retry may count them twice, no retry may lose them.
    pub async fn add_usage(&self, project: &ProjectId, usage: &[(KeyId, u64)]) -> Result<()> {
        let usage = usage.iter().map(|(key, count)| (key.to_string(), *count)).collect();
        self.backend.add_usage(project.to_string(), usage).await
    }

    /// Returns the uses in the hours that start at or after `from` and before `to`, oldest first. Hours older than
    /// [`crate::options::USAGE_RETENTION`] are gone.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn usage(
        &self,
        project: &ProjectId,
        grouping: UsageGrouping,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<HourUsage>> {
        let (from, to) = (from.as_ms().div_ceil(HOUR_MS), to.as_ms().div_ceil(HOUR_MS));
        let raw = self.backend.usage(project.to_string(), grouping, from, to).await?;
        raw.into_iter().map(hour_usage).collect()
    }

    /// Returns the uses of one key, like [`CellStore::usage`], without reading those of other keys.
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
    ) -> Result<Vec<HourUsage>> {
        let (from, to) = (from.as_ms().div_ceil(HOUR_MS), to.as_ms().div_ceil(HOUR_MS));
        let hours = self.backend.key_usage(project.to_string(), key.to_string(), from, to).await?;
        let usage =
            |(hour, count)| HourUsage { hour: Timestamp::from_ms(hour * HOUR_MS), key: Some(key.clone()), count };
        Ok(hours.into_iter().map(usage).collect())
    }

    /// Returns when keys of a project were last used, in the order of `keys`. Gateways report a use within a second.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn last_used(&self, project: &ProjectId, keys: &[&KeyId]) -> Result<Vec<Option<Timestamp>>> {
        self.backend.last_used(project.to_string(), keys.iter().map(ToString::to_string).collect()).await
    }
}

fn hour_usage(raw: RawUsage) -> Result<HourUsage> {
    let key = match raw.key.as_str() {
        "" => None,
        text => Some(KeyId::parse(text).map_err(|error| StoreErrorKind::Corrupt.with(error))?),
    };
    Ok(HourUsage { hour: Timestamp::from_ms(raw.hour * HOUR_MS), key, count: raw.count })
}

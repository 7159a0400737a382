//! Usage of keys: counted by the hour of the store's clock, and when each key was last used.

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::HOUR_MS;

use crate::error::{Result, StoreErrorKind};
use crate::ops::{RawUsage, UsageGrouping};
use crate::store::Store;

/// Uses of a key, or of all keys of a project, in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourUsage {
    /// When the hour began.
    pub hour: Timestamp,
    /// Which key; absent for all of the project.
    pub key: Option<KeyId>,
    /// How many.
    pub count: u64,
}

impl Store {
    /// Adds uses of a project's keys to the current hour, and notes that they were used now. Where the answer is
    /// lost it may have been done: to repeat it may count twice, not to repeat it may count none.
    pub async fn add_usage(&self, project: &ProjectId, usage: &[(KeyId, u64)]) -> Result<()> {
        let usage = usage.iter().map(|(key, count)| (key.to_string(), *count)).collect();
        self.backend.add_usage(project.to_string(), usage).await
    }

    /// Uses in the hours that begin from `from` on and before `to`, oldest first; what is older than
    /// [`crate::options::USAGE_RETENTION`] is gone.
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

    /// When keys of a project were last used, in their order; a use is noted within a second.
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

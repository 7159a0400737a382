//! Periods of a report, and the keys that are stored together.

use std::ops::Range;

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::partition::PartitionGroup;
use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::HOUR_MS;

use super::uses::{Uses, at_hour};
use crate::cell_store::CellStore;
use crate::error::Result;
use crate::ops::{KeyGroup, StoredUses};

/// Number of uses of a key, or of all keys of a project, in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodUsage {
    /// Start of the hour, day or month in UTC. Which of them it is depends on its age, see [`UsageRetention`].
    pub start: Timestamp,
    /// The key; `None` for the whole project.
    pub key: Option<KeyId>,
    /// Number of uses.
    pub count: u64,
}

impl CellStore {
    /// Adds stored uses that are kept and are of these hours.
    pub(super) fn add_kept(&self, uses: &mut Uses, stored: &StoredUses, hours: &Range<u64>) -> Result<()> {
        let kept = stored.kept(self.usage_retention, self.clock.now())?;
        for (hour, count) in kept.range(hours.clone()) {
            *uses.entry(*hour).or_default() += count;
        }
        Ok(())
    }
}

/// Returns the hours since the epoch that start in a time range.
pub(super) fn hours(from: Timestamp, to: Timestamp) -> Range<u64> {
    let from = from.as_ms().div_ceil(HOUR_MS);
    from..to.as_ms().div_ceil(HOUR_MS).max(from)
}

pub(super) fn key_group(project: &ProjectId, group: PartitionGroup) -> KeyGroup {
    KeyGroup { project: project.to_string(), group }
}

pub(super) fn periods(key: Option<&KeyId>, uses: Uses) -> Vec<PeriodUsage> {
    let period = |(hour, count)| PeriodUsage { start: at_hour(hour), key: key.cloned(), count };
    uses.into_iter().map(period).collect()
}

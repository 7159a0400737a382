//! Periods of a report, and the keys that are stored together.

use std::ops::Range;

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::partition::PartitionGroup;
use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::HOUR_MS;

use super::uses::{Uses, at_hour};
use crate::cell_store::CellStore;
use crate::error::Result;
use crate::ops::{KeyGroup, StoredUses, UsageGrouping};
use crate::options::HOURLY_RETENTION_HOURS;

/// Hours of the first format whose numbers are read at once, of one key or of all keys together: 30 days.
const HOURS_TOGETHER: usize = 30 * 24;

/// Number of uses of a key, or of all keys of a project, in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodUsage {
    /// Start of the hour, day or month in UTC. Which of them it is depends on its age, see
    /// [`UsageRetention`](crate::UsageRetention).
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

    /// Returns the uses of a project by the hour in the first format, in these hours.
    pub(super) async fn hourly_project_usage(&self, project: &ProjectId, hours: &Range<u64>) -> Result<Uses> {
        let mut uses = Uses::new();
        for part in self.hourly_parts(hours) {
            let rows = self.backend.hourly_usage(project.to_string(), UsageGrouping::Project, part.start, part.end);
            uses.extend(rows.await?.into_iter().map(|row| (row.hour, row.count)));
        }
        Ok(uses)
    }

    /// Divides hours of which the first format may have uses into parts that are read at once.
    pub(super) fn hourly_parts(&self, hours: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let now = self.clock.now().as_ms() / HOUR_MS;
        let start = hours.start.max(now.saturating_sub(HOURLY_RETENTION_HOURS));
        let end = hours.end.min(now + 1);
        (start..end).step_by(HOURS_TOGETHER).map(move |from| from..end.min(from + HOURS_TOGETHER as u64))
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

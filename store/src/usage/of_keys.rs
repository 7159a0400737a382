//! Reading the uses of all keys of a project, a part at a time.

use std::collections::HashSet;
use std::ops::Range;

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::partition::PartitionGroup;
use gatepost_domain::usage::HOUR_MS;

use super::period::{PeriodUsage, key_group, periods};
use super::uses::Uses;
use crate::cell_store::CellStore;
use crate::error::{Result, StoreErrorKind};
use crate::ops::UsageGrouping;
use crate::options::HOURLY_RETENTION_HOURS;

/// Keys that are looked at together: Redis serves nobody else meanwhile.
const PAGE_KEYS: u32 = 500;
/// Hours of the first format that are read together, if few are asked for or many.
const FEW_HOURS: u64 = 7 * 24;
const HOURS_TOGETHER: [u64; 2] = [1, 24];

/// A report of the uses of each key of a project.
#[derive(Debug)]
pub struct UsageOfKeys {
    cell: CellStore,
    project: ProjectId,
    hours: Range<u64>,
    position: Position,
    /// Keys that were returned from pages: Redis may return one twice.
    seen: HashSet<KeyId>,
}

#[derive(Debug)]
enum Position {
    /// Next hour of the first format.
    Hourly(u64),
    Page {
        group: PartitionGroup,
        from: Option<String>,
    },
    End,
}

impl UsageOfKeys {
    pub(super) fn new(cell: CellStore, project: &ProjectId, hours: Range<u64>) -> Self {
        let oldest = (cell.clock.now().as_ms() / HOUR_MS).saturating_sub(HOURLY_RETENTION_HOURS);
        let position = Position::Hourly(hours.start.max(oldest));
        Self { cell, project: project.clone(), hours, position, seen: HashSet::new() }
    }

    /// Reads the next rows, in no order; `None` at the end. There may be several rows of one key and period, which add up,
    /// and there may be none in some parts.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn next_rows(&mut self) -> Result<Option<Vec<PeriodUsage>>> {
        match &self.position {
            Position::Hourly(hour) => self.read_hours(*hour).await.map(Some),
            Position::Page { group, from } => self.read_page(*group, from.clone()).await.map(Some),
            Position::End => Ok(None),
        }
    }

    async fn read_hours(&mut self, from: u64) -> Result<Vec<PeriodUsage>> {
        let now = self.cell.clock.now().as_ms() / HOUR_MS + 1;
        let (end, [few, many]) = (self.hours.end.min(now.max(from)), HOURS_TOGETHER);
        let until = (from + if end.saturating_sub(from) <= FEW_HOURS { few } else { many }).min(end);
        if until >= end {
            self.position = PartitionGroup::new(0).map_or(Position::End, |group| Position::Page { group, from: None });
        } else {
            self.position = Position::Hourly(until);
        }
        let project = self.project.to_string();
        let rows = self.cell.backend.hourly_usage(project, UsageGrouping::Keys, from, until).await?;
        let mut usage = Vec::with_capacity(rows.len());
        for row in rows {
            usage.extend(periods(Some(&key_id(&row.key)?), Uses::from([(row.hour, row.count)])));
        }
        Ok(usage)
    }

    async fn read_page(&mut self, group: PartitionGroup, from: Option<String>) -> Result<Vec<PeriodUsage>> {
        let keys = key_group(&self.project, group);
        let page = self.cell.backend.uses_page(keys, from, self.hours.start, PAGE_KEYS).await?;
        self.position = match (page.next, PartitionGroup::new(group.number() + 1)) {
            (Some(next), _) => Position::Page { group, from: Some(next) },
            (None, Some(group)) => Position::Page { group, from: None },
            (None, None) => Position::End,
        };
        let mut usage = Vec::new();
        // The uses without a key are those of the whole group.
        for (key, stored) in page.uses.into_iter().filter(|(key, _)| !key.is_empty()) {
            let mut uses = Uses::new();
            self.cell.add_kept(&mut uses, &stored, &self.hours)?;
            let key = key_id(&key)?;
            if !uses.is_empty() && self.seen.insert(key.clone()) {
                usage.extend(periods(Some(&key), uses));
            }
        }
        Ok(usage)
    }
}

fn key_id(text: &str) -> Result<KeyId> {
    KeyId::parse(text).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

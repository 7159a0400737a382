//! Reading the uses of all keys of a project, a part at a time.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::partition::PartitionGroup;

use super::period::{PeriodUsage, key_group, periods};
use super::uses::Uses;
use crate::cell_store::CellStore;
use crate::error::{Result, StoreErrorKind};
use crate::ops::UsageGrouping;
use crate::options::MAX_KEYS_TOGETHER;

/// Hours of the first format that are read one at a time; if there are more, those of a day are read together.
const FEW_HOURS: usize = 7 * 24;
const HOURS_IN_DAY: u64 = 24;

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
    Start,
    /// Hours in which there are uses in the first format.
    Hourly {
        hours: VecDeque<u64>,
        together: u64,
    },
    Page {
        group: PartitionGroup,
        from: Option<String>,
    },
    End,
}

impl UsageOfKeys {
    pub(super) fn new(cell: CellStore, project: &ProjectId, hours: Range<u64>) -> Self {
        Self { cell, project: project.clone(), hours, position: Position::Start, seen: HashSet::new() }
    }

    /// Reads the next rows, in no order; `None` at the end. There may be several rows of one key and period, which add up,
    /// and there may be none in some parts.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn next_rows(&mut self) -> Result<Option<Vec<PeriodUsage>>> {
        match &mut self.position {
            Position::Start => {
                let uses = self.cell.hourly_project_usage(&self.project, &self.hours).await?;
                let hours: VecDeque<u64> = uses.into_keys().collect();
                let together = if hours.len() <= FEW_HOURS { 1 } else { HOURS_IN_DAY };
                self.position = Position::Hourly { hours, together };
                Ok(Some(Vec::new()))
            }
            Position::Hourly { hours, together } => match hours.pop_front() {
                Some(first) => {
                    let until = (first + *together).min(self.hours.end);
                    while hours.pop_front_if(|hour| *hour < until).is_some() {}
                    self.read_hours(first..until).await.map(Some)
                }
                None => {
                    let first = PartitionGroup::new(0);
                    self.position = first.map_or(Position::End, |group| Position::Page { group, from: None });
                    Ok(Some(Vec::new()))
                }
            },
            Position::Page { group, from } => {
                let (group, from) = (*group, from.take());
                self.read_page(group, from).await.map(Some)
            }
            Position::End => Ok(None),
        }
    }

    async fn read_hours(&self, hours: Range<u64>) -> Result<Vec<PeriodUsage>> {
        let project = self.project.to_string();
        let rows = self.cell.backend.hourly_usage(project, UsageGrouping::Keys, hours.start, hours.end).await?;
        let mut usage = Vec::with_capacity(rows.len());
        for row in rows {
            usage.extend(periods(Some(&key_id(&row.key)?), Uses::from([(row.hour, row.count)])));
        }
        Ok(usage)
    }

    async fn read_page(&mut self, group: PartitionGroup, from: Option<String>) -> Result<Vec<PeriodUsage>> {
        let keys = key_group(&self.project, group);
        let page = self.cell.backend.uses_page(keys, from, self.hours.start, MAX_KEYS_TOGETHER).await?;
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

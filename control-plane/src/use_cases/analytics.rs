//! Reports of the usage of keys.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::future::try_join_all;
use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::record::{ApiKey, Project};
use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::Grouping;
use gatepost_store::{PeriodUsage, UsageGrouping, Versioned};

use super::api_keys::KeyRef;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

/// Totals in one report.
const MAX_TOTALS: usize = 100_000;
const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
/// Keys in a list of those with the most uses, at most and by default.
pub const MAX_TOP_KEYS: usize = 100;
pub const DEFAULT_TOP_KEYS: usize = 10;
/// The longest time range of such a list: the uses of all keys in it are read.
const MAX_TOP_RANGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The usage that a report covers.
#[derive(Debug)]
pub struct UsageReportRequest {
    pub project: Option<String>,
    pub grouping: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// Uses in an hour, day or month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    pub start: Timestamp,
    /// The key; absent for all keys of the project.
    pub key: Option<KeyId>,
    pub count: u64,
}

/// Uses of one key.
#[derive(Debug)]
pub struct KeyUsage {
    pub key: ApiKey,
    pub totals: Vec<Total>,
}

/// Totals of a report while it is read.
struct Totals {
    grouping: Grouping,
    /// By start and key.
    totals: BTreeMap<(Timestamp, Option<KeyId>), u64>,
}

impl Totals {
    fn new(grouping: Grouping) -> Self {
        Self { grouping, totals: BTreeMap::new() }
    }

    fn add(&mut self, rows: Vec<PeriodUsage>) -> Result<()> {
        for usage in rows {
            *self.totals.entry((self.grouping.bucket_start(usage.start), usage.key)).or_insert(0) += usage.count;
        }
        if self.totals.len() > MAX_TOTALS {
            let detail = format!("from, to: there are more than {MAX_TOTALS} totals; ask for less at a time");
            return Err(Failure::invalid(detail));
        }
        Ok(())
    }

    fn into_vec(self) -> Vec<Total> {
        self.totals.into_iter().map(|((start, key), count)| Total { start, key, count }).collect()
    }
}

impl ControlPlane {
    /// Returns the uses of a project's keys, together or each, oldest first. Times without a use are left out.
    pub async fn totals(
        &self,
        context: &RequestContext,
        of: UsageGrouping,
        request: &UsageReportRequest,
    ) -> Result<(ProjectId, Vec<Total>)> {
        let caller = &context.caller;
        let project = caller.project_or_own(request.project.as_deref())?;
        let project = self.project(context, project.as_str()).await?.record.id;
        let grouping = parse_grouping(request.grouping.as_deref())?;
        let (from, to) = self.time_range(request)?;
        let cell = self.store.single_cell();
        let mut totals = Totals::new(grouping);
        match of {
            UsageGrouping::Project => {
                let _turn = self.acquire_list_permit(context).await?;
                totals.add(cell.project_usage(&project, from, to).await?)?;
            }
            UsageGrouping::Keys => {
                let mut usage = cell.usage_of_keys(&project, from, to);
                loop {
                    let _turn = self.acquire_list_permit(context).await?;
                    let Some(rows) = usage.next_rows().await? else { break };
                    totals.add(rows)?;
                }
            }
        }
        Ok((project, totals.into_vec()))
    }

    /// Returns the uses of each of these projects by the hour from `from` on, at most 24 hours, in their order. Reads one
    /// number for each project and hour.
    pub async fn recent_uses(&self, projects: &[Project], from: Timestamp) -> Result<Vec<Vec<Total>>> {
        let (from, to) = self.stored_range(Some(from), Some(from.plus(DAY)));
        let usages = projects.iter().map(|project| async move {
            let hours = self.store.single_cell().project_usage(&project.id, from, to).await?;
            Ok(hours.into_iter().map(|usage| Total { start: usage.start, key: None, count: usage.count }).collect())
        });
        try_join_all(usages).await
    }

    /// Returns the uses of one key in hours, days or months, oldest first: by default of all the time that is stored. Times
    /// without a use are left out. Reads nothing of other keys.
    ///
    /// # Errors
    /// `invalid-client-key` if the caller does not see the key.
    pub async fn key_usage(
        &self,
        context: &RequestContext,
        key_ref: &KeyRef,
        grouping: Grouping,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<KeyUsage> {
        let key = self.api_key(context, key_ref).await?.record;
        let (from, to) = self.stored_range(from, to);
        let _turn = self.acquire_list_permit(context).await?;
        let mut totals = Totals::new(grouping);
        totals.add(self.store.single_cell().key_usage(&key.project, &key.id, from, to).await?)?;
        Ok(KeyUsage { key, totals: totals.into_vec() })
    }

    /// Returns the keys of a project with the most uses in a time range of up to 7 days, by default the last 24 hours.
    /// Keys with equally many are ordered by id.
    ///
    /// # Errors
    /// `validation` if the range is longer, or `limit` is not from 1 to 100; `not-found` if the caller does not see the
    /// project.
    pub async fn top_keys(
        &self,
        context: &RequestContext,
        project: Option<&str>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        limit: usize,
    ) -> Result<(ProjectId, Vec<(KeyId, u64)>)> {
        if !(1..=MAX_TOP_KEYS).contains(&limit) {
            return Err(Failure::invalid(format!("limit: must be a number from 1 to {MAX_TOP_KEYS}")));
        }
        let project = context.caller.project_or_own(project)?;
        let project = self.project(context, project.as_str()).await?.record.id;
        let from = from.unwrap_or_else(|| self.now().minus(DAY));
        let (from, to) = self.stored_range(Some(from), to);
        if to.since(from) > MAX_TOP_RANGE + HOUR {
            return Err(Failure::invalid("from, to: the range is longer than 7 days"));
        }
        let mut counts: HashMap<KeyId, u64> = HashMap::new();
        let mut usage = self.store.single_cell().usage_of_keys(&project, from, to);
        loop {
            let _turn = self.acquire_list_permit(context).await?;
            let Some(rows) = usage.next_rows().await? else { break };
            for usage in rows {
                let Some(key) = usage.key else { continue };
                *counts.entry(key).or_insert(0) += usage.count;
            }
            if counts.len() > MAX_TOTALS {
                let detail = format!("from, to: more than {MAX_TOTALS} keys were used; name a shorter range");
                return Err(Failure::invalid(detail));
            }
        }
        let mut counts: Vec<(KeyId, u64)> = counts.into_iter().collect();
        counts.sort_unstable_by(|(key, count), (other, other_count)| other_count.cmp(count).then(key.cmp(other)));
        counts.truncate(limit);
        Ok((project, counts))
    }

    /// Returns when a key was last used.
    pub async fn last_use(&self, key: &ApiKey) -> Result<Option<Timestamp>> {
        Ok(self.store.single_cell().last_used(&key.project, &[&key.id]).await?.into_iter().next().flatten())
    }

    /// Returns when each key was last used. Adjacent keys of one project are read together.
    pub async fn last_uses(&self, keys: &[Versioned<ApiKey>]) -> Result<Vec<Option<Timestamp>>> {
        let mut last_uses = Vec::with_capacity(keys.len());
        for of_project in keys.chunk_by(|one, other| one.record.project == other.record.project) {
            let ids: Vec<&KeyId> = of_project.iter().map(|key| &key.record.id).collect();
            last_uses.extend(self.store.single_cell().last_used(&of_project[0].record.project, &ids).await?);
        }
        Ok(last_uses)
    }

    /// Parses the time range: by default all that is stored.
    fn time_range(&self, request: &UsageReportRequest) -> Result<(Timestamp, Timestamp)> {
        let parse = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => Timestamp::parse(text).map(Some).map_err(|why| Failure::invalid(format!("{name}: {why}"))),
        };
        Ok(self.stored_range(parse("from", &request.from)?, parse("to", &request.to)?))
    }

    /// Returns the part of a time range of which usage may be stored, from the start of an hour.
    fn stored_range(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> (Timestamp, Timestamp) {
        let from = Grouping::Hour.bucket_start(from.unwrap_or(Timestamp::from_ms(0)));
        (from, to.unwrap_or(Timestamp::MAX).min(self.now().plus(HOUR)))
    }
}

fn parse_grouping(text: Option<&str>) -> Result<Grouping> {
    let Some(text) = text else { return Ok(Grouping::Day) };
    Grouping::parse(text).ok_or_else(|| Failure::invalid("dateGrouping: must be hour, day or month"))
}

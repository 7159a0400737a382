//! Reports of the usage of keys.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::future::try_join_all;
use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::record::{ApiKey, Project};
use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::Grouping;
use gatepost_store::UsageGrouping;
use gatepost_store::Versioned;
use gatepost_store::options::USAGE_RETENTION;

use super::api_keys::KeyRef;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

/// Totals in one report.
const MAX_TOTALS: usize = 100_000;
/// Part of the time range that is read from the store at once.
const READ_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// The same where an hour has one number: for one key, or for all keys of a project together.
const NUMBERS_READ_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);
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
        let mut totals: BTreeMap<(Timestamp, Option<String>), Total> = BTreeMap::new();
        let window = match of {
            UsageGrouping::Project => NUMBERS_READ_WINDOW,
            UsageGrouping::Keys => READ_WINDOW,
        };
        let mut at = from;
        while at < to {
            let _turn = self.acquire_list_permit(context).await?;
            let until = at.plus(window).min(to);
            for usage in self.store.single_cell().usage(&project, of, at, until).await? {
                let start = grouping.bucket_start(usage.hour);
                let bucket = (start, usage.key.as_ref().map(ToString::to_string));
                let total = totals.entry(bucket).or_insert_with(|| Total { start, key: usage.key, count: 0 });
                total.count += usage.count;
            }
            if totals.len() > MAX_TOTALS {
                let detail = format!("from, to: there are more than {MAX_TOTALS} totals; ask for less at a time");
                return Err(Failure::invalid(detail));
            }
            at = until;
        }
        Ok((project, totals.into_values().collect()))
    }

    /// Returns the uses of each of these projects by the hour from `from` on, at most 24 hours, in their order. Reads one
    /// number for each project and hour.
    pub async fn recent_uses(&self, projects: &[Project], from: Timestamp) -> Result<Vec<Vec<Total>>> {
        let (from, to) = self.stored_range(Some(from), Some(from.plus(READ_WINDOW)));
        let usages = projects.iter().map(|project| async move {
            let hours = self.store.single_cell().usage(&project.id, UsageGrouping::Project, from, to).await?;
            Ok(hours.into_iter().map(|usage| Total { start: usage.hour, key: None, count: usage.count }).collect())
        });
        try_join_all(usages).await
    }

    /// Returns the uses of one key in hours, days or months, oldest first: by default of all the time that is stored, 90
    /// days. Times without a use are left out. Reads nothing of other keys.
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
        let (mut at, to) = self.stored_range(from, to);
        let mut totals: BTreeMap<Timestamp, Total> = BTreeMap::new();
        while at < to {
            let _turn = self.acquire_list_permit(context).await?;
            let until = at.plus(NUMBERS_READ_WINDOW).min(to);
            for usage in self.store.single_cell().key_usage(&key.project, &key.id, at, until).await? {
                let start = grouping.bucket_start(usage.hour);
                totals.entry(start).or_insert_with(|| Total { start, key: usage.key, count: 0 }).count += usage.count;
            }
            at = until;
        }
        Ok(KeyUsage { key, totals: totals.into_values().collect() })
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
        let from = from.unwrap_or_else(|| self.now().minus(READ_WINDOW));
        let (mut at, to) = self.stored_range(Some(from), to);
        if to.since(at) > MAX_TOP_RANGE + HOUR {
            return Err(Failure::invalid("from, to: the range is longer than 7 days"));
        }
        let mut counts: HashMap<KeyId, u64> = HashMap::new();
        while at < to {
            let _turn = self.acquire_list_permit(context).await?;
            let until = at.plus(HOUR).min(to);
            for usage in self.store.single_cell().usage(&project, UsageGrouping::Keys, at, until).await? {
                let Some(key) = usage.key else { continue };
                *counts.entry(key).or_insert(0) += usage.count;
            }
            if counts.len() > MAX_TOTALS {
                let detail = format!("from, to: more than {MAX_TOTALS} keys were used; name a shorter range");
                return Err(Failure::invalid(detail));
            }
            at = until;
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

    /// Returns the part of a time range of which usage is stored, in whole hours.
    fn stored_range(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> (Timestamp, Timestamp) {
        let now = self.now();
        let oldest = now.minus(USAGE_RETENTION);
        let from = Grouping::Hour.bucket_start(from.unwrap_or(oldest).max(oldest));
        (from, to.unwrap_or(Timestamp::MAX).min(now.plus(HOUR)))
    }
}

fn parse_grouping(text: Option<&str>) -> Result<Grouping> {
    let Some(text) = text else { return Ok(Grouping::Day) };
    Grouping::parse(text).ok_or_else(|| Failure::invalid("dateGrouping: must be hour, day or month"))
}

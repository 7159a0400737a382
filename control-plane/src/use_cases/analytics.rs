//! Reports of the usage of keys.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::record::ApiKey;
use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::Grouping;
use gatepost_store::UsageGrouping;
use gatepost_store::Versioned;
use gatepost_store::options::USAGE_RETENTION;

use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

/// Totals in one report.
const MAX_TOTALS: usize = 100_000;
/// Part of the time range that is read from the store at once.
const READ_WINDOW: Duration = Duration::from_secs(24 * 3600);

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
        let mut at = from;
        while at < to {
            let _turn = self.acquire_list_permit(context).await?;
            let until = at.plus(READ_WINDOW).min(to);
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

    /// Parses the time range: by default all that is stored. It consists of whole hours.
    fn time_range(&self, request: &UsageReportRequest) -> Result<(Timestamp, Timestamp)> {
        let parse = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => Timestamp::parse(text).map(Some).map_err(|why| Failure::invalid(format!("{name}: {why}"))),
        };
        let now = self.now();
        let oldest = Timestamp::from_ms(now.as_ms().saturating_sub(USAGE_RETENTION.as_millis() as u64));
        let from = parse("from", &request.from)?.unwrap_or(oldest).max(oldest);
        let to = parse("to", &request.to)?.unwrap_or(Timestamp::MAX);
        Ok((Grouping::Hour.bucket_start(from), to.min(now.plus(Duration::from_secs(3600)))))
    }
}

fn parse_grouping(text: Option<&str>) -> Result<Grouping> {
    let Some(text) = text else { return Ok(Grouping::Day) };
    Grouping::parse(text).ok_or_else(|| Failure::invalid("dateGrouping: must be hour, day or month"))
}

//! Usage in the first format, by the hour, in the embedded store.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::HOUR_MS;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::database::{Embedded, read_blocking};
use super::errors::store_error;
use super::tables::{LAST_USED, RECORDS, USAGE};
use crate::error::Result;
use crate::ops::{LastUsesPage, RawLastUse, RawUsage, UsageGrouping};
use crate::options::HOURLY_RETENTION_HOURS;
use crate::record_format::decode_record;

impl Embedded {
    pub(crate) async fn add_hourly_usage(&self, project: String, usage: Vec<(String, u64)>) -> Result<()> {
        let now = self.now();
        let hour = now.as_ms() / HOUR_MS;
        self.perform(move |transaction| {
            let mut table = transaction.open_table(USAGE).map_err(store_error)?;
            let mut last_used = transaction.open_table(LAST_USED).map_err(store_error)?;
            for (key, count) in &usage {
                let row_key = (hour, project.as_str(), key.as_str());
                let before = table.get(row_key).map_err(store_error)?.map_or(0, |count| count.value());
                table.insert(row_key, before + count).map_err(store_error)?;
                last_used.insert(key.as_str(), now.as_ms()).map_err(store_error)?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn hourly_usage(
        &self,
        project: String,
        grouping: UsageGrouping,
        from: u64,
        to: u64,
    ) -> Result<Vec<RawUsage>> {
        let (store, current) = (self.clone(), self.now().as_ms() / HOUR_MS);
        let hours = from.max(first_retained_hour(current))..to.min(current + 1);
        read_blocking(move || read_usage(&store.read()?, &project, grouping, hours)).await
    }

    pub(crate) async fn hourly_key_usage(
        &self,
        project: String,
        key: String,
        from: u64,
        to: u64,
    ) -> Result<Vec<(u64, u64)>> {
        let (store, current) = (self.clone(), self.now().as_ms() / HOUR_MS);
        let hours = from.max(first_retained_hour(current))..to.min(current + 1);
        read_blocking(move || {
            let transaction = store.read()?;
            let table = transaction.open_table(USAGE).map_err(store_error)?;
            let mut found = Vec::new();
            for hour in hours {
                let count = table.get((hour, project.as_str(), key.as_str())).map_err(store_error)?;
                found.extend(count.map(|count| (hour, count.value())));
            }
            Ok(found)
        })
        .await
    }

    pub(crate) async fn hourly_last_used(&self, _project: String, keys: Vec<String>) -> Result<Vec<Option<Timestamp>>> {
        let transaction = self.read()?;
        let table = transaction.open_table(LAST_USED).map_err(store_error)?;
        keys.iter()
            .map(|key| Ok(table.get(key.as_str()).map_err(store_error)?.map(|ms| Timestamp::from_ms(ms.value()))))
            .collect()
    }

    pub(crate) async fn last_uses_page(
        &self,
        _project: String,
        from: Option<String>,
        limit: usize,
    ) -> Result<LastUsesPage> {
        let transaction = self.read()?;
        let table = transaction.open_table(LAST_USED).map_err(store_error)?;
        let records = transaction.open_table(RECORDS).map_err(store_error)?;
        let start = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut uses, mut next) = (Vec::new(), None);
        for (index, row) in table.range::<&str>((start, Bound::Unbounded)).map_err(store_error)?.take(limit).enumerate()
        {
            let (key, ms) = row.map_err(store_error)?;
            let (key, ms) = (key.value().to_owned(), ms.value());
            if index + 1 == limit {
                next = Some(key.clone());
            }
            let project = match records.get(key.as_str()).map_err(store_error)? {
                None => String::new(),
                Some(record) => match decode_record(record.value(), None) {
                    Ok(record) => record.image.parent,
                    Err(_) => continue,
                },
            };
            uses.push(RawLastUse { project, key, ms });
        }
        Ok(LastUsesPage { uses, next })
    }

    pub(crate) async fn remove_last_uses(&self, _project: String, uses: Vec<RawLastUse>) -> Result<()> {
        self.perform(move |transaction| {
            let mut table = transaction.open_table(LAST_USED).map_err(store_error)?;
            for RawLastUse { key, ms, .. } in &uses {
                let is_as_read =
                    table.get(key.as_str()).map_err(store_error)?.is_some_and(|found| found.value() == *ms);
                if is_as_read {
                    table.remove(key.as_str()).map_err(store_error)?;
                }
            }
            Ok(())
        })
        .await
    }
}

/// Returns the first hour within the retention.
fn first_retained_hour(current: u64) -> u64 {
    current.saturating_sub(HOURLY_RETENTION_HOURS)
}

fn read_usage(
    transaction: &ReadTransaction,
    project: &str,
    grouping: UsageGrouping,
    hours: Range<u64>,
) -> Result<Vec<RawUsage>> {
    let table = transaction.open_table(USAGE).map_err(store_error)?;
    let mut found = BTreeMap::new();
    for hour in hours {
        for entry in table.range((hour, project, "")..).map_err(store_error)? {
            let (row_key, count) = entry.map_err(store_error)?;
            let (row_hour, row_project, key) = row_key.value();
            if (row_hour, row_project) != (hour, project) {
                break;
            }
            let key = match grouping {
                UsageGrouping::Project => String::new(),
                UsageGrouping::Keys => key.to_owned(),
            };
            *found.entry((hour, key)).or_insert(0) += count.value();
        }
    }
    Ok(found.into_iter().map(|((hour, key), count)| RawUsage { hour, key, count }).collect())
}

/// Removes hours past the retention.
pub(super) fn trim(transaction: &WriteTransaction, batch: u32, now: Timestamp) -> Result<()> {
    let first_hour = first_retained_hour(now.as_ms() / HOUR_MS);
    let mut table = transaction.open_table(USAGE).map_err(store_error)?;
    let mut expired = Vec::new();
    for entry in table.range(..(first_hour, "", "")).map_err(store_error)?.take(batch as usize) {
        let (hour, project, key) = {
            let row_key = entry.map_err(store_error)?.0;
            let (hour, project, key) = row_key.value();
            (hour, project.to_owned(), key.to_owned())
        };
        expired.push((hour, project, key));
    }
    for (hour, project, key) in &expired {
        table.remove((*hour, project.as_str(), key.as_str())).map_err(store_error)?;
    }
    Ok(())
}

//! Usage of keys in the embedded store.

use std::collections::BTreeMap;
use std::ops::Range;

use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::HOUR_MS;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::tables::{LAST_USED, USAGE};
use super::{Embedded, failure, read_aside};
use crate::act::{RawUsage, UsageOf};
use crate::error::Result;
use crate::options::USAGE_KEPT;

impl Embedded {
    pub(crate) async fn add_usage(&self, project: String, usage: Vec<(String, u64)>) -> Result<()> {
        let now = self.now();
        let hour = now.as_ms() / HOUR_MS;
        self.perform(move |transaction| {
            let mut table = transaction.open_table(USAGE).map_err(failure)?;
            let mut last_used = transaction.open_table(LAST_USED).map_err(failure)?;
            for (key, count) in &usage {
                let place = (hour, project.as_str(), key.as_str());
                let before = table.get(place).map_err(failure)?.map_or(0, |count| count.value());
                table.insert(place, before + count).map_err(failure)?;
                last_used.insert(key.as_str(), now.as_ms()).map_err(failure)?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn usage(&self, project: String, of: UsageOf, from: u64, to: u64) -> Result<Vec<RawUsage>> {
        let (store, current) = (self.clone(), self.now().as_ms() / HOUR_MS);
        let hours = from.max(oldest(current))..to.min(current + 1);
        read_aside(move || read(&store.read()?, &project, of, hours)).await
    }

    pub(crate) async fn last_used(&self, _project: String, keys: Vec<String>) -> Result<Vec<Option<Timestamp>>> {
        let transaction = self.read()?;
        let table = transaction.open_table(LAST_USED).map_err(failure)?;
        keys.iter()
            .map(|key| Ok(table.get(key.as_str()).map_err(failure)?.map(|ms| Timestamp::from_ms(ms.value()))))
            .collect()
    }
}

/// The first hour that is kept.
fn oldest(current: u64) -> u64 {
    current.saturating_sub(USAGE_KEPT.as_secs() / 3600)
}

fn read(transaction: &ReadTransaction, project: &str, of: UsageOf, hours: Range<u64>) -> Result<Vec<RawUsage>> {
    let table = transaction.open_table(USAGE).map_err(failure)?;
    let mut found = BTreeMap::new();
    for hour in hours {
        for entry in table.range((hour, project, "")..).map_err(failure)? {
            let (place, count) = entry.map_err(failure)?;
            let (at, of_project, key) = place.value();
            if (at, of_project) != (hour, project) {
                break;
            }
            let key = match of {
                UsageOf::Project => String::new(),
                UsageOf::Keys => key.to_owned(),
            };
            *found.entry((hour, key)).or_insert(0) += count.value();
        }
    }
    Ok(found.into_iter().map(|((hour, key), count)| RawUsage { hour, key, count }).collect())
}

/// Removes hours that are too old.
pub(super) fn trim(transaction: &WriteTransaction, batch: u32, now: Timestamp) -> Result<()> {
    let oldest = oldest(now.as_ms() / HOUR_MS);
    let mut table = transaction.open_table(USAGE).map_err(failure)?;
    let mut old = Vec::new();
    for entry in table.range(..(oldest, "", "")).map_err(failure)?.take(batch as usize) {
        let (hour, project, key) = {
            let place = entry.map_err(failure)?.0;
            let (hour, project, key) = place.value();
            (hour, project.to_owned(), key.to_owned())
        };
        old.push((hour, project, key));
    }
    for (hour, project, key) in &old {
        table.remove((*hour, project.as_str(), key.as_str())).map_err(failure)?;
    }
    Ok(())
}

//! Trimming in the embedded store.

use std::time::Duration;

use gatepost_domain::time::{Timestamp, Version};
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use super::tables::{DEAD_AGES, DEAD_SEALED, META, REMOVED, SEALED_AGES, STREAM};
use super::{Embedded, dead_letters, failure, number, receipts, sealed, set_number, usage};
use crate::act::{TrimRule, Trimmed};
use crate::error::Result;

/// For how long it is known by which event a record was removed.
const REMOVED_KEPT: Duration = Duration::from_secs(600);

impl Embedded {
    pub(crate) async fn trim(&self, rule: TrimRule) -> Result<Trimmed> {
        let now = self.now();
        self.perform(move |transaction| {
            trim_removed(transaction, now)?;
            let (entries, trimmed_through) = trim_stream(transaction, &rule, now)?;
            let (sealed_in_dead, dead) = trim_dead(transaction, &rule, now)?;
            let receipts = receipts::trim(transaction, rule.batch, now)?;
            let sealed = sealed_in_dead + trim_sealed(transaction, &rule, now)? + receipts;
            usage::trim(transaction, rule.batch, now)?;
            Ok(Trimmed { entries, sealed, dead, trimmed_through })
        })
        .await
    }
}

fn trim_stream(transaction: &WriteTransaction, rule: &TrimRule, now: Timestamp) -> Result<(u64, Version)> {
    let mut meta = transaction.open_table(META).map_err(failure)?;
    let mut stream = transaction.open_table(STREAM).map_err(failure)?;
    let fanned_out = number(&meta, "fan_out")?;
    let mut excess = stream.len().map_err(failure)?.saturating_sub(rule.max_entries);
    let mut old = Vec::new();
    for entry in stream.range(..=fanned_out).map_err(failure)?.take(rule.batch as usize) {
        let version = Version::from_u64(entry.map_err(failure)?.0.value());
        if excess == 0 && now.since(version.moment()) <= rule.max_age {
            break;
        }
        excess = excess.saturating_sub(1);
        old.push(version.as_u64());
    }
    for version in &old {
        stream.remove(version).map_err(failure)?;
    }
    if let Some(last) = old.last() {
        set_number(&mut meta, "trimmed", *last)?;
    }
    Ok((old.len() as u64, Version::from_u64(number(&meta, "trimmed")?)))
}

/// A commit whose answer was lost is repeated soon or never.
fn trim_removed(transaction: &WriteTransaction, now: Timestamp) -> Result<()> {
    let mut removed = transaction.open_table(REMOVED).map_err(failure)?;
    let is_young = |_: &str, (_, version): (&str, u64)| now.since(Version::from_u64(version).moment()) < REMOVED_KEPT;
    removed.retain(is_young).map_err(failure)
}

fn trim_sealed(transaction: &WriteTransaction, rule: &TrimRule, now: Timestamp) -> Result<u64> {
    let mut old = Vec::new();
    let ages = transaction.open_table(SEALED_AGES).map_err(failure)?;
    for entry in ages.iter().map_err(failure)?.take(rule.batch as usize) {
        let (key, _) = entry.map_err(failure)?;
        let (ms, event) = key.value();
        if now.since(Timestamp::from_ms(ms)) <= rule.max_sealed_age {
            break;
        }
        old.push(event.to_owned());
    }
    drop(ages);
    for event in &old {
        sealed::erase(transaction, event)?;
    }
    Ok(old.len() as u64)
}

/// Erases the secrets of old dead letters, and removes dead letters that are older still.
fn trim_dead(transaction: &WriteTransaction, rule: &TrimRule, now: Timestamp) -> Result<(u64, u64)> {
    let removed = older(transaction, DEAD_AGES, rule.max_dead_age, rule.batch, now)?;
    for (_, webhook, event) in &removed {
        dead_letters::remove(transaction, webhook, event)?;
    }
    let unsealed = older(transaction, DEAD_SEALED, rule.max_sealed_age, rule.batch, now)?;
    for (died_ms, webhook, event) in &unsealed {
        dead_letters::erase_secret(transaction, *died_ms, webhook, event)?;
    }
    Ok((unsealed.len() as u64, removed.len() as u64))
}

/// Letters of a table that are older than `max_age`, oldest first.
fn older(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, (u64, &'static str, &'static str), ()>,
    max_age: Duration,
    batch: u32,
    now: Timestamp,
) -> Result<Vec<(u64, String, String)>> {
    let table = transaction.open_table(table).map_err(failure)?;
    let mut old = Vec::new();
    for entry in table.iter().map_err(failure)?.take(batch as usize) {
        let (key, _) = entry.map_err(failure)?;
        let (died_ms, webhook, event) = key.value();
        if now.since(Timestamp::from_ms(died_ms)) <= max_age {
            break;
        }
        old.push((died_ms, webhook.to_owned(), event.to_owned()));
    }
    Ok(old)
}

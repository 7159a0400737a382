//! Trimming in the embedded store.

use std::time::Duration;

use gatepost_domain::time::{Timestamp, Version};
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use super::database::Embedded;
use super::errors::store_error;
use super::meta::{read_number, set_number};
use super::tables::{DEAD_AGES, DEAD_SEALED, META, REMOVED, SEALED_AGES, STREAM};
use super::{dead_letters, delivery_log, hourly_usage, sealed, stored_responses};
use crate::error::Result;
use crate::ops::{RetentionPolicy, TrimStats};

/// How long the event id of a record's removal is retained.
const REMOVED_RETENTION: Duration = Duration::from_secs(600);

impl Embedded {
    pub(crate) async fn trim(&self, rule: RetentionPolicy) -> Result<TrimStats> {
        let now = self.now();
        self.perform(move |transaction| {
            trim_removed(transaction, now)?;
            let (entries, trimmed_through) = trim_stream(transaction, &rule, now)?;
            let (sealed_in_dead, dead) = trim_dead(transaction, &rule, now)?;
            let responses = stored_responses::trim_expired(transaction, rule.batch, now)?;
            let sealed = sealed_in_dead + trim_sealed(transaction, &rule, now)? + responses;
            hourly_usage::trim(transaction, rule.batch, now)?;
            delivery_log::trim(transaction, &rule, now)?;
            Ok(TrimStats { entries, sealed_secrets: sealed, dead_letters: dead, trimmed_through })
        })
        .await
    }
}

fn trim_stream(transaction: &WriteTransaction, rule: &RetentionPolicy, now: Timestamp) -> Result<(u64, Version)> {
    let mut meta = transaction.open_table(META).map_err(store_error)?;
    let mut stream = transaction.open_table(STREAM).map_err(store_error)?;
    let fanned_out = read_number(&meta, "fan_out")?;
    let mut excess = stream.len().map_err(store_error)?.saturating_sub(rule.max_entries);
    let mut expired = Vec::new();
    for entry in stream.range(..=fanned_out).map_err(store_error)?.take(rule.batch as usize) {
        let version = Version::from_u64(entry.map_err(store_error)?.0.value());
        if excess == 0 && now.since(version.timestamp()) <= rule.max_age {
            break;
        }
        excess = excess.saturating_sub(1);
        expired.push(version.as_u64());
    }
    for version in &expired {
        stream.remove(version).map_err(store_error)?;
    }
    if let Some(last) = expired.last() {
        set_number(&mut meta, "trimmed", *last)?;
    }
    Ok((expired.len() as u64, Version::from_u64(read_number(&meta, "trimmed")?)))
}

/// Trims removal markers. A commit whose reply was lost is retried soon or never.
fn trim_removed(transaction: &WriteTransaction, now: Timestamp) -> Result<()> {
    let mut removed = transaction.open_table(REMOVED).map_err(store_error)?;
    let is_recent =
        |_: &str, (_, version): (&str, u64)| now.since(Version::from_u64(version).timestamp()) < REMOVED_RETENTION;
    removed.retain(is_recent).map_err(store_error)
}

fn trim_sealed(transaction: &WriteTransaction, rule: &RetentionPolicy, now: Timestamp) -> Result<u64> {
    let mut expired = Vec::new();
    let ages = transaction.open_table(SEALED_AGES).map_err(store_error)?;
    for entry in ages.iter().map_err(store_error)?.take(rule.batch as usize) {
        let (key, _) = entry.map_err(store_error)?;
        let (ms, event) = key.value();
        if now.since(Timestamp::from_ms(ms)) <= rule.max_sealed_secret_age {
            break;
        }
        expired.push(event.to_owned());
    }
    drop(ages);
    for event in &expired {
        sealed::erase(transaction, event)?;
    }
    Ok(expired.len() as u64)
}

/// Erases the secrets of old dead letters, and removes dead letters that are older still.
fn trim_dead(transaction: &WriteTransaction, rule: &RetentionPolicy, now: Timestamp) -> Result<(u64, u64)> {
    let removed = older_than(transaction, DEAD_AGES, rule.max_dead_letter_age, rule.batch, now)?;
    for (_, webhook, event) in &removed {
        dead_letters::remove(transaction, webhook, event)?;
    }
    let secrets_expired = older_than(transaction, DEAD_SEALED, rule.max_sealed_secret_age, rule.batch, now)?;
    for (died_ms, webhook, event) in &secrets_expired {
        dead_letters::erase_secret(transaction, *died_ms, webhook, event)?;
    }
    Ok((secrets_expired.len() as u64, removed.len() as u64))
}

/// Returns rows of a table that are older than `max_age`, oldest first.
fn older_than(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, (u64, &'static str, &'static str), ()>,
    max_age: Duration,
    batch: u32,
    now: Timestamp,
) -> Result<Vec<(u64, String, String)>> {
    let table = transaction.open_table(table).map_err(store_error)?;
    let mut expired = Vec::new();
    for entry in table.iter().map_err(store_error)?.take(batch as usize) {
        let (key, _) = entry.map_err(store_error)?;
        let (died_ms, webhook, event) = key.value();
        if now.since(Timestamp::from_ms(died_ms)) <= max_age {
            break;
        }
        expired.push((died_ms, webhook.to_owned(), event.to_owned()));
    }
    Ok(expired)
}

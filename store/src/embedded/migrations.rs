//! Backfills, when a store is opened, of data that older versions of the program did not write.

use std::collections::BTreeMap;

use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::delivery_log::{self, EndedDelivery};
use super::errors::store_error;
use super::tables::{DEAD_BY_TIME, DEAD_COUNTS, DEAD_LETTERS, DELIVERIES, DELIVERY_LOG, DELIVERY_ORDER};
use super::{dead_letters, deliveries};
use crate::error::Result;
use crate::ops::DeliveryKind;

/// Numbers deliveries by creation time.
pub(super) fn backfill_delivery_sequence(transaction: &WriteTransaction) -> Result<()> {
    if !transaction.open_table(DELIVERY_ORDER).map_err(store_error)?.is_empty().map_err(store_error)? {
        return Ok(());
    }
    let mut deliveries_by_creation = Vec::new();
    for entry in transaction.open_table(DELIVERIES).map_err(store_error)?.iter().map_err(store_error)? {
        let (key, state) = entry.map_err(store_error)?;
        let (webhook, event) = key.value();
        deliveries_by_creation.push((state.value().3, webhook.to_owned(), event.to_owned()));
    }
    deliveries_by_creation.sort_unstable();
    deliveries_by_creation
        .iter()
        .try_for_each(|(_, webhook, event)| deliveries::assign_sequence(transaction, webhook, event))
}

/// Adds dead letters to the log, with sequences below all others: the newest one has -1.
pub(super) fn backfill_dead_letter_log(transaction: &WriteTransaction) -> Result<()> {
    if !transaction.open_table(DELIVERY_LOG).map_err(store_error)?.is_empty().map_err(store_error)? {
        return Ok(());
    }
    let mut letters = Vec::new();
    for entry in transaction.open_table(DEAD_BY_TIME).map_err(store_error)?.iter().map_err(store_error)? {
        let (key, _) = entry.map_err(store_error)?;
        let (webhook, died_ms, event) = key.value();
        letters.push((died_ms, webhook.to_owned(), event.to_owned()));
    }
    letters.sort_unstable();
    for ((died_ms, webhook, event), sequence) in letters.iter().rev().zip((i64::MIN..0).rev()) {
        let at = Timestamp::from_ms(*died_ms);
        let ended = EndedDelivery { kind: DeliveryKind::Dead, sequence, at, summary: &[] };
        delivery_log::log_ended(transaction, webhook, event, &ended, u64::MAX)?;
    }
    Ok(())
}

/// Counts the dead letters of each webhook.
pub(super) fn backfill_dead_letter_counts(transaction: &WriteTransaction) -> Result<()> {
    if !transaction.open_table(DEAD_COUNTS).map_err(store_error)?.is_empty().map_err(store_error)? {
        return Ok(());
    }
    let mut counts = BTreeMap::new();
    for entry in transaction.open_table(DEAD_LETTERS).map_err(store_error)?.iter().map_err(store_error)? {
        let (key, _) = entry.map_err(store_error)?;
        *counts.entry(key.value().0.to_owned()).or_insert(0) += 1;
    }
    counts.iter().try_for_each(|(webhook, count)| dead_letters::set_dead_letter_count(transaction, webhook, *count))
}

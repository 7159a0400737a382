//! Backfills, when a store is opened, of data that older versions of the program did not write.

use std::collections::BTreeMap;

use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::errors::store_error;
use super::tables::{DEAD_COUNTS, DEAD_LETTERS, DELIVERIES, DELIVERY_ORDER};
use super::{dead_letters, deliveries};
use crate::error::Result;

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

//! What an older version of the program did not write down, made up for when the store is opened.

use std::collections::BTreeMap;

use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::tables::{DEAD, DEAD_COUNTS, DELIVERIES, MADE};
use super::{dead_letters, deliveries, failure};
use crate::error::Result;

/// Numbers deliveries by the moments at which they were made.
pub(super) fn number_deliveries(transaction: &WriteTransaction) -> Result<()> {
    if !transaction.open_table(MADE).map_err(failure)?.is_empty().map_err(failure)? {
        return Ok(());
    }
    let mut made = Vec::new();
    for entry in transaction.open_table(DELIVERIES).map_err(failure)?.iter().map_err(failure)? {
        let (key, state) = entry.map_err(failure)?;
        let (webhook, event) = key.value();
        made.push((state.value().3, webhook.to_owned(), event.to_owned()));
    }
    made.sort_unstable();
    made.iter().try_for_each(|(_, webhook, event)| deliveries::number_it(transaction, webhook, event))
}

/// Counts the dead letters of each webhook.
pub(super) fn count_dead_letters(transaction: &WriteTransaction) -> Result<()> {
    if !transaction.open_table(DEAD_COUNTS).map_err(failure)?.is_empty().map_err(failure)? {
        return Ok(());
    }
    let mut counts = BTreeMap::new();
    for entry in transaction.open_table(DEAD).map_err(failure)?.iter().map_err(failure)? {
        let (key, _) = entry.map_err(failure)?;
        *counts.entry(key.value().0.to_owned()).or_insert(0) += 1;
    }
    counts.iter().try_for_each(|(webhook, count)| dead_letters::set_count(transaction, webhook, *count))
}

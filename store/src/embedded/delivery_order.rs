//! The order of a webhook's deliveries in the embedded store, from either end.

use redb::ReadTransaction;

use super::errors::store_error;
use super::tables::{DELIVERY_LOG_ORDER, DELIVERY_ORDER};
use crate::error::Result;
use crate::ops::{DeliveryKind, SortOrder};

/// Returns sequence, kind and event of the first deliveries of a kind in an order, after a sequence.
pub(super) fn first_of(
    transaction: &ReadTransaction,
    webhook: &str,
    kind: DeliveryKind,
    order: SortOrder,
    after: Option<i64>,
    limit: usize,
) -> Result<Vec<(i64, DeliveryKind, String)>> {
    let (start, end) = match order {
        SortOrder::OldestFirst => (after.map_or(i64::MIN, |after| after.saturating_add(1)), i64::MAX),
        SortOrder::NewestFirst => (i64::MIN, after.unwrap_or(i64::MAX)),
    };
    if kind == DeliveryKind::Waiting {
        let (start, end) = (u64::try_from(start).unwrap_or(0), u64::try_from(end).unwrap_or(0));
        let table = transaction.open_table(DELIVERY_ORDER).map_err(store_error)?;
        let found = in_order(table.range((webhook, start, "")..(webhook, end, "")).map_err(store_error)?, order);
        let rows = found.take(limit).map(|entry| {
            let (key, _) = entry.map_err(store_error)?;
            let (_, sequence, event) = key.value();
            Ok((i64::try_from(sequence).unwrap_or(i64::MAX), kind, event.to_owned()))
        });
        return rows.collect();
    }
    let (name, table) = (kind.as_str(), transaction.open_table(DELIVERY_LOG_ORDER).map_err(store_error)?);
    let range = table.range((webhook, name, start, "")..(webhook, name, end, "")).map_err(store_error)?;
    let rows = in_order(range, order).take(limit).map(|entry| {
        let (key, _) = entry.map_err(store_error)?;
        let (_, _, sequence, event) = key.value();
        Ok((sequence, kind, event.to_owned()))
    });
    rows.collect()
}

fn in_order<'a, T>(
    ascending: impl DoubleEndedIterator<Item = T> + 'a,
    order: SortOrder,
) -> Box<dyn Iterator<Item = T> + 'a> {
    match order {
        SortOrder::OldestFirst => Box::new(ascending),
        SortOrder::NewestFirst => Box::new(ascending.rev()),
    }
}

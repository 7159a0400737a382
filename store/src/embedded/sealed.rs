//! Sealed secrets of events in the embedded store.

use redb::{ReadableTable, WriteTransaction};

use super::errors::store_error;
use super::tables::{SEALED, SEALED_AGES};
use crate::error::Result;

/// Stores an event's sealed secret. If one is stored already, it and its age are unchanged.
pub(super) fn put(transaction: &WriteTransaction, event: &str, ms: u64, sealed: &[u8]) -> Result<()> {
    if get(transaction, event)?.is_some() {
        return Ok(());
    }
    transaction.open_table(SEALED).map_err(store_error)?.insert(event, (ms, sealed)).map_err(store_error)?;
    transaction.open_table(SEALED_AGES).map_err(store_error)?.insert((ms, event), ()).map_err(store_error)?;
    Ok(())
}

pub(super) fn get(transaction: &WriteTransaction, event: &str) -> Result<Option<Vec<u8>>> {
    let table = transaction.open_table(SEALED).map_err(store_error)?;
    Ok(table.get(event).map_err(store_error)?.map(|sealed| sealed.value().1.to_vec()))
}

pub(super) fn erase(transaction: &WriteTransaction, event: &str) -> Result<()> {
    let mut table = transaction.open_table(SEALED).map_err(store_error)?;
    let ms = table.remove(event).map_err(store_error)?.map(|sealed| sealed.value().0);
    if let Some(ms) = ms {
        transaction.open_table(SEALED_AGES).map_err(store_error)?.remove((ms, event)).map_err(store_error)?;
    }
    Ok(())
}

//! States of recoveries in the embedded store.

use gatepost_domain::id::RecoveryId;
use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, WriteTransaction};

use super::errors::store_error;
use super::tables::{RECOVERIES, RUNNING_RECOVERIES, RecoveryState};
use crate::error::{Result, StoreErrorKind};
use crate::ops::{RawRecovery, RecoveryStatus};

/// The stored cursor of a recovery at its start.
const NO_CURSOR: i64 = i64::MIN;

/// Removes the recoveries of a removed webhook.
pub(super) fn drop_all(transaction: &WriteTransaction, webhook: &str) -> Result<()> {
    let stored = all_of(&transaction.open_table(RECOVERIES).map_err(store_error)?, webhook)?;
    for recovery in stored {
        remove(transaction, webhook, &recovery.id)?;
    }
    transaction.open_table(RUNNING_RECOVERIES).map_err(store_error)?.remove(webhook).map_err(store_error)?;
    Ok(())
}

/// Removes recoveries that ended before a time. Returns how many are left.
pub(super) fn trim(transaction: &WriteTransaction, webhook: &str, oldest: Timestamp) -> Result<u64> {
    let mut left = 0;
    let stored = all_of(&transaction.open_table(RECOVERIES).map_err(store_error)?, webhook)?;
    for recovery in stored {
        if recovery.finished_at.is_some_and(|at| at < oldest) {
            remove(transaction, webhook, &recovery.id)?;
        } else {
            left += 1;
        }
    }
    Ok(left)
}

pub(super) fn remove(transaction: &WriteTransaction, webhook: &str, id: &RecoveryId) -> Result<()> {
    let mut table = transaction.open_table(RECOVERIES).map_err(store_error)?;
    table.remove((webhook, id.as_str())).map_err(store_error)?;
    Ok(())
}

pub(super) fn write(transaction: &WriteTransaction, webhook: &str, recovery: &RawRecovery) -> Result<()> {
    let state: RecoveryState<'_> = (
        recovery.status.as_str(),
        recovery.created_at.as_ms(),
        recovery.finished_at.map_or(0, Timestamp::as_ms),
        recovery.cursor.unwrap_or(NO_CURSOR),
        recovery.recovered,
        recovery.skipped,
        &recovery.request,
    );
    let mut table = transaction.open_table(RECOVERIES).map_err(store_error)?;
    table.insert((webhook, recovery.id.as_str()), state).map_err(store_error)?;
    Ok(())
}

pub(super) fn read(
    table: &impl ReadableTable<(&'static str, &'static str), RecoveryState<'static>>,
    webhook: &str,
    id: &str,
) -> Result<Option<RawRecovery>> {
    let state = table.get((webhook, id)).map_err(store_error)?;
    state.map(|state| decode(id, state.value())).transpose()
}

pub(super) fn all_of(
    table: &impl ReadableTable<(&'static str, &'static str), RecoveryState<'static>>,
    webhook: &str,
) -> Result<Vec<RawRecovery>> {
    let mut recoveries = Vec::new();
    for entry in table.range((webhook, "")..).map_err(store_error)? {
        let (key, state) = entry.map_err(store_error)?;
        let (owner, id) = key.value();
        if owner != webhook {
            break;
        }
        recoveries.push(decode(id, state.value())?);
    }
    Ok(recoveries)
}

pub(super) fn decode(id: &str, state: RecoveryState<'_>) -> Result<RawRecovery> {
    let (status, created_ms, finished_ms, cursor, recovered, skipped, request) = state;
    Ok(RawRecovery {
        id: RecoveryId::parse(id).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        status: RecoveryStatus::parse(status)
            .ok_or_else(|| StoreErrorKind::Corrupt.with(format!("a recovery has the unknown status {status:?}")))?,
        created_at: Timestamp::from_ms(created_ms),
        finished_at: (finished_ms > 0).then(|| Timestamp::from_ms(finished_ms)),
        cursor: (cursor != NO_CURSOR).then_some(cursor),
        recovered,
        skipped,
        request: request.to_vec(),
    })
}

//! Rate limit windows in the embedded store.

use std::time::Duration;

use gatepost_domain::time::Timestamp;
use gatepost_domain::window::{self, CounterWindow, LeaseGrant, Limit, UnusedLease};
use redb::{ReadableTable, WriteTransaction};

use super::database::Embedded;
use super::errors::store_error;
use super::tables::{WINDOW_LIMITS, WINDOWS};
use crate::error::Result;

impl Embedded {
    pub(crate) async fn lease_allowance(&self, name: String, limit: Limit, requested: u64) -> Result<LeaseGrant> {
        let now = self.now();
        self.perform(move |transaction| {
            let before = read_window(transaction, &name)?;
            let (after, allowance) = window::lease(before, limit, requested, now);
            write_window(transaction, &name, &after)?;
            Ok(allowance)
        })
        .await
    }

    pub(crate) async fn return_allowance(&self, name: String, unused: UnusedLease) -> Result<()> {
        let now = self.now();
        self.perform(move |transaction| {
            let before = read_window(transaction, &name)?;
            if let Some(after) = before.and_then(|before| window::return_unused(before, unused, now)) {
                write_window(transaction, &name, &after)?;
            }
            Ok(())
        })
        .await
    }
}

/// Reads a window. Generation and limit are in a separate table that v0.1.0 does not know; a window without them is of
/// the first generation.
fn read_window(transaction: &WriteTransaction, name: &str) -> Result<Option<CounterWindow>> {
    let windows = transaction.open_table(WINDOWS).map_err(store_error)?;
    let limits = transaction.open_table(WINDOW_LIMITS).map_err(store_error)?;
    let Some(stored) = windows.get(name).map_err(store_error)? else { return Ok(None) };
    let (ends_at_ms, leased) = stored.value();
    let window_limit = limits.get(name).map_err(store_error)?.map(|stored| stored.value());
    let (generation, limit, length_ms) = window_limit.unwrap_or_default();
    let length = (length_ms > 0).then(|| Duration::from_millis(length_ms));
    Ok(Some(CounterWindow { ends_at: Timestamp::from_ms(ends_at_ms), leased, generation, limit, length }))
}

fn write_window(transaction: &WriteTransaction, name: &str, window: &CounterWindow) -> Result<()> {
    let mut windows = transaction.open_table(WINDOWS).map_err(store_error)?;
    let mut limits = transaction.open_table(WINDOW_LIMITS).map_err(store_error)?;
    windows.insert(name, (window.ends_at.as_ms(), window.leased)).map_err(store_error)?;
    let length_ms = window.length.map_or(0, |length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
    let limit = (window.generation, window.limit, length_ms);
    if limits.get(name).map_err(store_error)?.is_none_or(|stored| stored.value() != limit) {
        limits.insert(name, limit).map_err(store_error)?;
    }
    Ok(())
}

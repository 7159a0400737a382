//! Windows of limits in the embedded store.

use std::time::Duration;

use gatepost_domain::time::Timestamp;
use gatepost_domain::window::{self, Allowance, Limit, Unused, Window};
use redb::{ReadableTable, WriteTransaction};

use super::tables::{WINDOW_LIMITS, WINDOWS};
use super::{Embedded, failure};
use crate::error::Result;

impl Embedded {
    pub(crate) async fn lease_allowance(&self, meter: String, limit: Limit, want: u64) -> Result<Allowance> {
        let now = self.now();
        self.perform(move |transaction| {
            let before = window(transaction, &meter)?;
            let (after, allowance) = window::lease(before, limit, want, now);
            put(transaction, &meter, &after)?;
            Ok(allowance)
        })
        .await
    }

    pub(crate) async fn return_allowance(&self, meter: String, unused: Unused) -> Result<()> {
        let now = self.now();
        self.perform(move |transaction| {
            let before = window(transaction, &meter)?;
            if let Some(after) = before.and_then(|before| window::give_back(before, unused, now)) {
                put(transaction, &meter, &after)?;
            }
            Ok(())
        })
        .await
    }
}

/// Generation and limit stand in a table of their own, which v0.1.0 does not know: a window that has none is of the
/// first generation.
fn window(transaction: &WriteTransaction, meter: &str) -> Result<Option<Window>> {
    let windows = transaction.open_table(WINDOWS).map_err(failure)?;
    let limits = transaction.open_table(WINDOW_LIMITS).map_err(failure)?;
    let Some(stored) = windows.get(meter).map_err(failure)? else { return Ok(None) };
    let (ends_at_ms, leased) = stored.value();
    let of_limit = limits.get(meter).map_err(failure)?.map(|stored| stored.value());
    let (generation, limit, length_ms) = of_limit.unwrap_or_default();
    let length = (length_ms > 0).then(|| Duration::from_millis(length_ms));
    Ok(Some(Window { ends_at: Timestamp::from_ms(ends_at_ms), leased, generation, limit, length }))
}

fn put(transaction: &WriteTransaction, meter: &str, window: &Window) -> Result<()> {
    let mut windows = transaction.open_table(WINDOWS).map_err(failure)?;
    let mut limits = transaction.open_table(WINDOW_LIMITS).map_err(failure)?;
    windows.insert(meter, (window.ends_at.as_ms(), window.leased)).map_err(failure)?;
    let length_ms = window.length.map_or(0, |length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
    let limit = (window.generation, window.limit, length_ms);
    if limits.get(meter).map_err(failure)?.is_none_or(|stored| stored.value() != limit) {
        limits.insert(meter, limit).map_err(failure)?;
    }
    Ok(())
}

//! Windows of limits in the embedded store.

use gatepost_domain::time::Timestamp;
use gatepost_domain::window::{self, Allowance, Span, Window};
use redb::ReadableTable;

use super::tables::WINDOWS;
use super::{Embedded, failure};
use crate::error::Result;

impl Embedded {
    pub(crate) async fn lease_allowance(&self, meter: String, limit: u64, span: Span, want: u64) -> Result<Allowance> {
        let now = self.now();
        self.perform(move |transaction| {
            let mut windows = transaction.open_table(WINDOWS).map_err(failure)?;
            let before = window(&windows, &meter)?;
            let (after, allowance) = window::lease(before, limit, span, want, now);
            windows.insert(meter.as_str(), (after.ends_at.as_ms(), after.leased)).map_err(failure)?;
            Ok(allowance)
        })
        .await
    }

    pub(crate) async fn return_allowance(&self, meter: String, reset: Timestamp, count: u64) -> Result<()> {
        let now = self.now();
        self.perform(move |transaction| {
            let mut windows = transaction.open_table(WINDOWS).map_err(failure)?;
            let before = window(&windows, &meter)?;
            if let Some(after) = before.and_then(|before| window::give_back(before, reset, count, now)) {
                windows.insert(meter.as_str(), (after.ends_at.as_ms(), after.leased)).map_err(failure)?;
            }
            Ok(())
        })
        .await
    }
}

fn window(windows: &impl ReadableTable<&'static str, (u64, u64)>, meter: &str) -> Result<Option<Window>> {
    Ok(windows.get(meter).map_err(failure)?.map(|stored| {
        let (ends_at_ms, leased) = stored.value();
        Window { ends_at: Timestamp::from_ms(ends_at_ms), leased }
    }))
}

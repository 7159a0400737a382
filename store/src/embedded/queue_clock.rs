//! The clock of the queues in the embedded store, on which deliveries are due, and leases, caps and holds end.
//!
//! It advances with the clock of the store but does not go back with it: what was due in a moment would wait for as long
//! as that clock was set back.

use gatepost_domain::time::Timestamp;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::errors::store_error;
use super::meta::{read_number, set_number};
use super::tables::META;
use crate::error::Result;

/// Ms after which the time is recorded again. It may go back by as much.
const RECORD_INTERVAL_MS: u64 = 1000;

/// A reading of the clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueClock {
    pub(super) now: Timestamp,
    /// How far it is ahead of the clock of the store.
    ahead_ms: u64,
    /// Time that was recorded last.
    recorded_ms: u64,
}

impl QueueClock {
    /// Reads the clock, at this time of the clock of the store.
    pub(super) fn read(transaction: &ReadTransaction, store_now: Timestamp) -> Result<Self> {
        Self::from_meta(&transaction.open_table(META).map_err(store_error)?, store_now)
    }

    fn from_meta(meta: &impl ReadableTable<&'static str, &'static [u8]>, store_now: Timestamp) -> Result<Self> {
        let recorded_ms = read_number(meta, "queue_clock")?;
        let ahead_ms = read_number(meta, "queue_clock_ahead")?.max(recorded_ms.saturating_sub(store_now.as_ms()));
        Ok(Self { now: Timestamp::from_ms(store_now.as_ms() + ahead_ms), ahead_ms, recorded_ms })
    }

    /// Converts a time of this clock to one of the clock of the store.
    pub(super) fn to_store_time(self, ms: u64) -> Timestamp {
        Timestamp::from_ms(ms.saturating_sub(self.ahead_ms))
    }
}

/// Returns the time of the clock of the queues, and records it.
pub(super) fn queue_now(transaction: &WriteTransaction, store_now: Timestamp) -> Result<Timestamp> {
    let mut meta = transaction.open_table(META).map_err(store_error)?;
    let clock = QueueClock::from_meta(&meta, store_now)?;
    let now_ms = clock.now.as_ms();
    if now_ms == clock.recorded_ms || now_ms >= clock.recorded_ms + RECORD_INTERVAL_MS {
        set_number(&mut meta, "queue_clock", now_ms)?;
        set_number(&mut meta, "queue_clock_ahead", clock.ahead_ms)?;
    }
    Ok(clock.now)
}

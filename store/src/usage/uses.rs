//! Uses by the hour, as they are added up.

use std::collections::BTreeMap;

use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::HOUR_MS;

/// Uses in any period are not counted beyond this.
const MAX_PERIOD_COUNT: u64 = 1 << 60;

/// Uses by the hour in which a period starts, in hours since the epoch.
pub(crate) type Uses = BTreeMap<u64, u64>;

pub(super) fn add_to(uses: &mut Uses, hour: u64, count: u64) {
    let sum = uses.entry(hour).or_insert(0);
    *sum = sum.saturating_add(count).min(MAX_PERIOD_COUNT);
}

pub(super) fn at_hour(hour: u64) -> Timestamp {
    Timestamp::from_ms(hour.saturating_mul(HOUR_MS))
}

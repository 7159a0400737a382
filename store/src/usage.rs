//! Usage of keys: counts per hour of the store's clock, which become counts per day and per month as they grow old, and the
//! time of each key's last use.
//!
//! Stores in the first format have a counter for each key and hour. From format 2 on there is one packed value for each
//! key. Reads take both, so that what was counted before an upgrade is still reported.

mod bits;
mod of_keys;
pub(crate) mod packed;
mod period;
mod reports;
mod retention;
mod roll_up;

pub use of_keys::UsageOfKeys;
pub use period::PeriodUsage;
pub use retention::UsageRetention;
pub use roll_up::RollUpPosition;

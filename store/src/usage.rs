//! Usage of keys: counts per hour of the store's clock, which become counts per day and per month as they grow old, and the
//! time of each key's last use.
//!
//! Stores in the first format have a counter for each key and hour. From format 2 on there are two values for each
//! key. Reads take all of them, so that what was counted before an upgrade is still reported.

mod bits;
mod of_keys;
mod past;
mod period;
pub(crate) mod recent;
mod reports;
mod retention;
mod roll_up;
mod stored_uses;
mod uses;

pub use of_keys::UsageOfKeys;
pub use period::PeriodUsage;
pub use retention::UsageRetention;
pub use roll_up::RollUpPosition;

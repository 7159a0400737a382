//! Rate limits and quotas of keys, enforced with token leases from the store, and usage counters.
//!
//! A request takes a token from the lease of this process, under a lock that is never held across an await.
//! Only when the lease is empty is the store asked for another one, with one request for all that wait. Unused
//! tokens are returned.

mod decision;
mod gcra;
mod lifecycle;
mod limit_state;
mod limiter;
mod registry;
mod returns;
mod sweep;
mod usage;

pub use decision::{LimitDecision, OutagePolicy};
pub use gcra::Gcra;
pub use limiter::RateLimiter;
pub use registry::Meter;

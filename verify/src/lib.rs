//! One key's check: look up, decide, meter, first use. The cache of the request path and the feed
//! that keeps it true.

mod api;
mod cache;
mod feed;
mod first_use;
mod flight;
mod floors;
mod live;
mod meters;
mod metrics;
mod owners;
mod pace;
mod shut_off;
mod verifier;
mod wrong_keys;

#[cfg(test)]
mod model;

pub use api::{Admission, Source, Unavailable, Verdict};
pub use feed::{Feed, start};
pub use live::Liveness;
pub use meters::{Meter, Metered, Meters, WhenStoreIsDown};
pub use pace::Pace;
pub use verifier::{Verifier, VerifyOptions};

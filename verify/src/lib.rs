//! One key's check: look up, decide, meter, first use. The cache of the request path and the feed
//! that keeps it true.

mod authoritative;
mod cache;
mod gcra;
mod id_interner;
mod lease;
mod metrics;
mod pending_claims;
mod rate_limiter;
mod recent_revocations;
mod replica_sync;
mod single_flight;
mod verdict;
mod verifier;
mod watermarks;
mod wrong_key_limiter;

#[cfg(test)]
mod model;

pub use authoritative::{AuthoritativeCheck, AuthoritativeVerdict, AuthorizedKey, check_authoritative};
pub use gcra::Gcra;
pub use lease::Liveness;
pub use rate_limiter::{LimitDecision, Meter, OutagePolicy, RateLimiter};
pub use replica_sync::{ReplicaSync, start};
pub use verdict::{Admission, Source, Unavailable, Verdict};
pub use verifier::{Verifier, VerifyOptions};

//! Verification of keys: lookup, decision, rate limits, first use. Contains the cache of the request path and
//! the sync task that keeps it up to date.
//!
//! Start with [`start`]: it returns a [`ReplicaSync`], whose [`Verifier`] checks the requests.

mod authoritative;
mod cache;
mod id_interner;
mod lease;
mod metrics;
mod options;
mod pending_claims;
mod recent_revocations;
mod replica;
mod replica_sync;
mod single_flight;
mod state_metrics;
mod verdict;
mod verifier;
mod watermarks;
mod wrong_key_limiter;

#[cfg(test)]
mod model;

pub use authoritative::{AuthoritativeCheck, AuthoritativeVerdict, AuthorizedKey, check_authoritative};
pub use lease::Liveness;
pub use options::VerifyOptions;
pub use replica_sync::{ReplicaSync, start};
pub use verdict::{Admission, Source, Unavailable, Verdict};
pub use verifier::Verifier;

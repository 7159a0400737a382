//! Options of a verifier.

use std::time::Duration;

/// Limits of a verifier.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Maximum number of cached keys, and the number of watermark stripes (rounded up to a power of two).
    pub cache_capacity: u64,
    /// Maximum number of cached values that are not keys.
    pub negative_capacity: u64,
    /// How long cached keys are accepted after the gateway was last live, while the store does not respond.
    pub max_stale: Duration,
    /// Maximum number of fetches in flight. Beyond that requests get a 503.
    pub max_lookups: usize,
    /// Wrong keys per client and minute; 0 for no limit. Beyond that, values that are not cached get a 429
    /// without a lookup.
    pub max_wrong_keys_a_minute: u32,
    /// Name of the gateway, which people see.
    pub name: String,
}

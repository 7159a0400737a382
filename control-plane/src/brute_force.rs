//! Brute-force limiter: limits wrong access keys per client address.

use std::net::IpAddr;
use std::time::Duration;

use gatepost_domain::digest::Digest;
use gatepost_domain::network::client_network;
use gatepost_domain::time::Uptime;
use gatepost_limits::Gcra;
use moka::sync::Cache;

use crate::failure::{Failure, Result};

/// Wrong access keys that an address may send in a minute by default: all at once, then evenly.
pub(crate) const FAILURES_PER_MINUTE: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// Addresses that are tracked.
const MAX_ADDRESSES: u64 = 100_000;
/// Valid access keys that are remembered.
const MAX_KNOWN_GOOD: u64 = 10_000;
/// Time for which a valid access key is remembered after its last use.
const KNOWN_GOOD_TTL: Duration = Duration::from_secs(3600);

/// Addresses that sent wrong access keys, and access keys that are known to be valid.
pub(crate) struct BruteForceLimiter {
    failures: Gcra<IpAddr>,
    /// These keep working while others guess from the same address: behind one proxy all clients share it.
    known_good: Cache<Digest, ()>,
}

impl BruteForceLimiter {
    pub(crate) fn new(failures_per_minute: u32) -> Self {
        let failures_per_minute = failures_per_minute.max(1);
        Self {
            failures: Gcra::new(MINUTE / failures_per_minute, failures_per_minute, MAX_ADDRESSES),
            known_good: Cache::builder().max_capacity(MAX_KNOWN_GOOD).time_to_idle(KNOWN_GOOD_TTL).build(),
        }
    }

    /// Refuses an access key without looking it up if too many wrong ones came from its address.
    pub(crate) fn check(&self, from: IpAddr, digest: &Digest, now: Uptime) -> Result<()> {
        match self.failures.wait_time(&client_network(from), now) {
            Some(wait) if !self.known_good.contains_key(digest) => Err(Failure::Throttled(wait)),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn record_success(&self, digest: Digest) {
        self.known_good.insert(digest, ());
    }

    pub(crate) fn record_failure(&self, from: IpAddr, digest: &Digest, now: Uptime) {
        self.known_good.invalidate(digest);
        self.failures.record(client_network(from), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn failures_throttle_the_address_but_known_good_keys_pass() {
        let limiter = BruteForceLimiter::new(20);
        let (right, wrong) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
        let now = Uptime::from_ms(1);
        limiter.record_success(right);
        for _ in 0..20 {
            assert!(limiter.check(address("192.0.2.1"), &wrong, now).is_ok());
            limiter.record_failure(address("192.0.2.1"), &wrong, now);
        }
        let refused = limiter.check(address("192.0.2.1"), &wrong, now);
        assert!(matches!(refused, Err(Failure::Throttled(wait)) if wait == Duration::from_secs(3)));
        assert!(limiter.check(address("::ffff:192.0.2.1"), &wrong, now).is_err(), "the same address");
        assert!(limiter.check(address("192.0.2.1"), &right, now).is_ok());
        assert!(limiter.check(address("192.0.2.2"), &wrong, now).is_ok());
        limiter.record_failure(address("192.0.2.9"), &right, now);
        assert!(limiter.check(address("192.0.2.1"), &right, now).is_err(), "it is right no more");
    }
}

//! Guesses at access keys: slowed for each address that they come from.

use std::net::IpAddr;
use std::time::Duration;

use gatepost_domain::digest::Digest;
use gatepost_domain::network::client_network;
use gatepost_domain::time::Uptime;
use gatepost_verify::Pace;
use moka::sync::Cache;

use crate::failure::{Failure, Result};

/// Wrong access keys that an address may send in a minute, unless something else is configured: all at once, then
/// evenly.
pub(crate) const WRONG_A_MINUTE: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// Addresses that are remembered.
const MAX_ADDRESSES: u64 = 100_000;
/// Right access keys that are remembered.
const MAX_RIGHT: u64 = 10_000;
/// For how long one is after its last use.
const RIGHT_FOR: Duration = Duration::from_secs(3600);

/// Who sent wrong access keys, and which are known to be right.
pub(crate) struct Guesses {
    wrong: Pace<IpAddr>,
    /// Those go on where others guess from the same address, as all do behind one proxy.
    right: Cache<Digest, ()>,
}

impl Guesses {
    pub(crate) fn new(wrong_a_minute: u32) -> Self {
        let wrong_a_minute = wrong_a_minute.max(1);
        Self {
            wrong: Pace::new(MINUTE / wrong_a_minute, wrong_a_minute, MAX_ADDRESSES),
            right: Cache::builder().max_capacity(MAX_RIGHT).time_to_idle(RIGHT_FOR).build(),
        }
    }

    /// Refuses an access key without looking it up where too many wrong ones came from.
    pub(crate) fn admit(&self, from: IpAddr, digest: &Digest, now: Uptime) -> Result<()> {
        match self.wrong.wait(&client_network(from), now) {
            Some(wait) if !self.right.contains_key(digest) => Err(Failure::TooFast(wait)),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn was_right(&self, digest: Digest) {
        self.right.insert(digest, ());
    }

    pub(crate) fn was_wrong(&self, from: IpAddr, digest: &Digest, now: Uptime) {
        self.right.invalidate(digest);
        self.wrong.spend(client_network(from), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn guessing_is_slowed_for_an_address_and_right_keys_go_on() {
        let guesses = Guesses::new(20);
        let (right, wrong) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
        let now = Uptime::from_ms(1);
        guesses.was_right(right);
        for _ in 0..20 {
            assert!(guesses.admit(address("192.0.2.1"), &wrong, now).is_ok());
            guesses.was_wrong(address("192.0.2.1"), &wrong, now);
        }
        let refused = guesses.admit(address("192.0.2.1"), &wrong, now);
        assert!(matches!(refused, Err(Failure::TooFast(wait)) if wait == Duration::from_secs(3)));
        assert!(guesses.admit(address("::ffff:192.0.2.1"), &wrong, now).is_err(), "the same address");
        assert!(guesses.admit(address("192.0.2.1"), &right, now).is_ok());
        assert!(guesses.admit(address("192.0.2.2"), &wrong, now).is_ok());
        guesses.was_wrong(address("192.0.2.9"), &right, now);
        assert!(guesses.admit(address("192.0.2.1"), &right, now).is_err(), "it is right no more");
    }
}

//! Caps on what each client may have at a time, such as connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::network::client_network;

/// Shards of the table, each with its own lock.
const SHARDS: usize = 16;

/// Counts by client: an IPv4 address or an IPv6 /64 network. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct PerClientLimiter(Arc<[Mutex<HashMap<IpAddr, usize>>; SHARDS]>);

/// One unit of a client's count, until it is dropped.
#[derive(Debug)]
pub struct ClientSlot {
    client: IpAddr,
    limiter: PerClientLimiter,
}

impl PerClientLimiter {
    /// Adds one for a client, unless it has `max` already.
    pub fn try_acquire(&self, address: IpAddr, max: usize) -> Option<ClientSlot> {
        let client = client_network(address);
        let mut shard = self.shard(client);
        let count = shard.entry(client).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        drop(shard);
        Some(ClientSlot { client, limiter: self.clone() })
    }

    fn shard(&self, client: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let bytes = match client {
            IpAddr::V4(address) => u32::from(address) as usize,
            IpAddr::V6(address) => (u128::from(address) >> 64) as usize,
        };
        self.0[bytes % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let mut shard = self.limiter.shard(self.client);
        let Some(count) = shard.get_mut(&self.client) else { return };
        *count -= 1;
        if *count == 0 {
            shard.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_is_limited_and_an_ipv6_64_network_is_one_client() {
        let limiter = PerClientLimiter::default();
        let try_acquire = |text: &str| limiter.try_acquire(text.parse().unwrap(), 2);
        let (first, second) = (try_acquire("2001:db8::1"), try_acquire("2001:db8::2"));
        assert!(first.is_some() && second.is_some() && try_acquire("2001:db8::3").is_none());
        assert!(
            try_acquire("2001:db8:0:1::1").is_some() && try_acquire("192.0.2.1").is_some(),
            "others have their own"
        );
        drop(first);
        assert!(try_acquire("2001:db8::3").is_some());
        drop(second);
        assert!(limiter.0.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}

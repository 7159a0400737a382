//! How many of something each client has now.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::network::client_network;

/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 16;

/// Counts by client: an address of version 4, or a network of 64 bits of version 6. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClientCounts(Arc<[Mutex<HashMap<IpAddr, usize>>; SHARDS]>);

/// One of a client's; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Counted {
    client: IpAddr,
    counts: ClientCounts,
}

impl ClientCounts {
    /// One more of a client; none if it has as many as it may.
    pub(crate) fn enter(&self, address: IpAddr, max: usize) -> Option<Counted> {
        let client = client_network(address);
        let mut shard = self.shard(client);
        let count = shard.entry(client).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        drop(shard);
        Some(Counted { client, counts: self.clone() })
    }

    fn shard(&self, client: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let bytes = match client {
            IpAddr::V4(address) => u32::from(address) as usize,
            IpAddr::V6(address) => (u128::from(address) >> 64) as usize,
        };
        self.0[bytes % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut shard = self.counts.shard(self.client);
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
    fn each_client_has_as_many_as_it_may_and_a_network_of_version_6_is_one() {
        let counts = ClientCounts::default();
        let enter = |text: &str| counts.enter(text.parse().unwrap(), 2);
        let (first, second) = (enter("2001:db8::1"), enter("2001:db8::2"));
        assert!(first.is_some() && second.is_some() && enter("2001:db8::3").is_none());
        assert!(enter("2001:db8:0:1::1").is_some() && enter("192.0.2.1").is_some(), "others have their own");
        drop(first);
        assert!(enter("2001:db8::3").is_some());
        drop(second);
        assert!(counts.0.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}

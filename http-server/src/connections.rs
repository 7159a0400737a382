//! Connections of a server: their limits, and which one is closed for a new one.
//!
//! A new connection always gets a slot if any other connection waits for its client: of the client with the
//! most connections, the one that has waited longest is closed. So a client that holds many idle connections
//! loses them, and a probe always gets a response. If the server is busy on all connections, [`OverloadPolicy`]
//! decides.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::network::client_network;
use tokio::sync::Notify;

use crate::activity::{Activity, LogicalClock};
use crate::metrics::{CloseReason, Metrics};

/// Limits on the number of connections.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// Maximum number in total.
    pub total: usize,
    /// Maximum number per client: an IPv4 address or a /64 network of IPv6.
    pub per_client: usize,
    /// What happens to a new connection while all others are busy.
    pub overload_policy: OverloadPolicy,
}

/// What happens to a new connection while the server is busy on as many as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverloadPolicy {
    /// The new connection is rejected with 503.
    Refuse,
    /// The oldest connection of the client with the most connections is closed. For servers that must always
    /// respond to probes, and whose requests are short and can be retried.
    CloseOldest,
}

#[derive(Debug)]
pub(crate) struct Connections {
    caps: Caps,
    metrics: Metrics,
    clock: LogicalClock,
    state: Mutex<State>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    open: HashMap<u64, OpenConnection>,
    per_client: HashMap<IpAddr, usize>,
}

/// An open connection as seen by the others.
#[derive(Debug)]
struct OpenConnection {
    client: IpAddr,
    activity: Arc<Activity>,
    evicted: Arc<Notify>,
}

/// Slot of a connection, freed when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    id: u64,
    connections: Arc<Connections>,
    pub(crate) activity: Arc<Activity>,
    evicted: Arc<Notify>,
}

impl Connections {
    pub(crate) fn new(caps: Caps, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            caps,
            metrics,
            clock: LogicalClock::default(),
            state: Mutex::default(),
            emptied: Notify::new(),
        })
    }

    /// Acquires a slot for a new connection, and evicts another one if necessary. Returns `None` if the server
    /// is busy on all of them and the policy is to refuse.
    pub(crate) fn acquire(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionSlot> {
        let client = client_network(address);
        let mut state = self.lock();
        let is_client_full = state.count(client) >= self.caps.per_client;
        if is_client_full || state.open.len() >= self.caps.total {
            let only_client = is_client_full.then_some(client);
            let Some(evicted_id) =
                state.longest_waiting(only_client).or_else(|| self.evictable_busy(&state, only_client))
            else {
                drop(state);
                self.metrics.record_closed(CloseReason::Refused);
                return None;
            };
            self.metrics.record_closed(CloseReason::Evicted);
            state.remove(evicted_id);
        }
        state.last_id += 1;
        let id = state.last_id;
        let (activity, evicted) = (Activity::new(&self.clock), Arc::new(Notify::new()));
        state
            .open
            .insert(id, OpenConnection { client, activity: Arc::clone(&activity), evicted: Arc::clone(&evicted) });
        *state.per_client.entry(client).or_default() += 1;
        self.metrics.set_open(state.open.len());
        Some(ConnectionSlot { id, connections: Arc::clone(self), activity, evicted })
    }

    fn evictable_busy(&self, state: &State, only_client: Option<IpAddr>) -> Option<u64> {
        match self.caps.overload_policy {
            OverloadPolicy::Refuse => None,
            OverloadPolicy::CloseOldest => state.oldest(only_client),
        }
    }

    /// Counts a connection that was closed because of a timeout.
    pub(crate) fn timed_out(&self) {
        self.metrics.record_closed(CloseReason::TimedOut);
    }

    /// Waits until there are no connections.
    pub(crate) async fn all_closed(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().open.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn release(&self, id: u64) {
        let mut state = self.lock();
        state.remove(id);
        self.metrics.set_open(state.open.len());
        if state.open.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self, client: IpAddr) -> usize {
        self.per_client.get(&client).copied().unwrap_or(0)
    }

    /// Returns the connection that has waited longest for its client: of `only_client`, or of the client with
    /// the most.
    fn longest_waiting(&self, only_client: Option<IpAddr>) -> Option<u64> {
        let open = self.open.iter().filter(|(_, open)| only_client.is_none_or(|client| open.client == client));
        let waiting = open.filter_map(|(id, open)| Some((id, open.client, open.activity.waiting_since()?)));
        let longest = waiting.max_by_key(|(_, client, since)| (self.count(*client), Reverse(*since)));
        longest.map(|(id, ..)| *id)
    }

    /// Returns the oldest connection: of `only_client`, or of the client with the most.
    fn oldest(&self, only_client: Option<IpAddr>) -> Option<u64> {
        let open = self.open.iter().filter(|(_, open)| only_client.is_none_or(|client| open.client == client));
        open.max_by_key(|(id, open)| (self.count(open.client), Reverse(**id))).map(|(id, _)| *id)
    }

    /// Removes a connection and notifies its task. Does nothing if it was removed before.
    fn remove(&mut self, id: u64) {
        let Some(open) = self.open.remove(&id) else { return };
        open.evicted.notify_one();
        let Some(count) = self.per_client.get_mut(&open.client) else { return };
        *count -= 1;
        if *count == 0 {
            self.per_client.remove(&open.client);
        }
    }
}

impl ConnectionSlot {
    /// Waits until the slot is given to another connection.
    pub(crate) async fn wait_evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.connections.release(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Registry;

    fn new_connections(connections: usize, of_a_client: usize) -> Arc<Connections> {
        let metrics = Metrics::register(&Registry::new(), "test").unwrap();
        Connections::new(
            Caps { total: connections, per_client: of_a_client, overload_policy: OverloadPolicy::Refuse },
            metrics,
        )
    }

    fn client(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_open(slot: &ConnectionSlot) -> bool {
        slot.connections.lock().open.contains_key(&slot.id)
    }

    #[test]
    fn the_longest_waiting_connection_of_the_largest_client_is_evicted() {
        let all = new_connections(4, 4);
        let few = all.acquire(client(1)).unwrap();
        let many: Vec<ConnectionSlot> = (0..3).map(|_| all.acquire(client(2)).unwrap()).collect();
        many[0].activity.request_started();
        let new = all.acquire(client(3)).unwrap();
        assert!(is_open(&new) && is_open(&few), "the oldest connection is not of the largest client");
        assert_eq!(many.iter().map(is_open).collect::<Vec<_>>(), [true, false, true], "the first is busy");
    }

    #[test]
    fn the_oldest_is_evicted_when_all_are_busy() {
        let metrics = Metrics::register(&Registry::new(), "test").unwrap();
        let caps = Caps { total: 4, per_client: 3, overload_policy: OverloadPolicy::CloseOldest };
        let all = Connections::new(caps, metrics);
        let slots: Vec<ConnectionSlot> =
            [1, 2, 2, 2].into_iter().map(|last| all.acquire(client(last)).unwrap()).collect();
        slots.iter().for_each(|place| place.activity.request_started());
        let probe = all.acquire(client(3)).unwrap();
        probe.activity.request_started();
        assert_eq!(slots.iter().map(is_open).collect::<Vec<_>>(), [true, false, true, true]);
        let _own = all.acquire(client(1)).unwrap();
        assert_eq!(slots.iter().map(is_open).collect::<Vec<_>>(), [true, false, false, true]);
    }

    #[test]
    fn a_client_at_its_cap_evicts_only_its_own_connections() {
        let all = new_connections(10, 2);
        let other = all.acquire(client(1)).unwrap();
        let own: Vec<ConnectionSlot> = (0..3).map(|_| all.acquire(client(2)).unwrap()).collect();
        assert!(is_open(&other));
        assert_eq!(own.iter().map(is_open).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn a_new_connection_is_refused_when_all_are_busy() {
        let all = new_connections(2, 2);
        let open: Vec<ConnectionSlot> = (0..2).map(|_| all.acquire(client(1)).unwrap()).collect();
        open.iter().for_each(|place| place.activity.request_started());
        assert!(all.acquire(client(1)).is_none() && all.acquire(client(2)).is_none());
        open[1].activity.response_ended();
        assert!(all.acquire(client(2)).is_some());
        assert_eq!(open.iter().map(is_open).collect::<Vec<_>>(), [true, false]);
    }

    #[tokio::test]
    async fn an_evicted_slot_and_a_dropped_slot_are_each_released_once() {
        let all = new_connections(1, 1);
        let first = all.acquire(client(1)).unwrap();
        let second = all.acquire(client(2)).unwrap();
        first.wait_evicted().await;
        drop(first);
        assert_eq!(all.lock().open.len(), 1);
        drop(second);
        all.all_closed().await;
        assert!(all.lock().per_client.is_empty());
    }
}

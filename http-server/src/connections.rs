//! The connections of a server: how many there may be, and which one is closed for a new one.
//!
//! A new connection always finds a place if any other waits for its client: that one is closed whose client has let the
//! server wait the longest, among those of the client that has the most. So whoever holds many connections and does
//! nothing with them loses them, and a probe is answered whatever else happens. Where the server is at work on all of
//! them, [`OverloadPolicy`] decides.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::network::client_network;
use tokio::sync::Notify;

use crate::activity::{Activity, LogicalClock};
use crate::metrics::{CloseReason, Metrics};

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// In all.
    pub total: usize,
    /// Of one client: an address of version 4, or a network of 64 bits of version 6.
    pub per_client: usize,
    /// What becomes of a new one while the server is at work on all of them.
    pub overload_policy: OverloadPolicy,
}

/// What becomes of a new connection while the server is at work on all that there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverloadPolicy {
    /// It is refused.
    Refuse,
    /// The oldest is closed for it, of the client that has the most: where a probe must be answered whatever the server
    /// is at work on, and what it is at work on is short and can be asked for again.
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

/// An open connection, as the others see it.
#[derive(Debug)]
struct OpenConnection {
    client: IpAddr,
    activity: Arc<Activity>,
    evicted: Arc<Notify>,
}

/// The place of a connection, free again when dropped.
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

    /// A place for a new connection. None if the server is at work on all that there may be.
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

    /// Counts that a deadline has ended a connection.
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

    /// The connection that has waited longest for its client: of one client, or of the one that has the most.
    fn longest_waiting(&self, only_client: Option<IpAddr>) -> Option<u64> {
        let open = self.open.iter().filter(|(_, open)| only_client.is_none_or(|client| open.client == client));
        let waiting = open.filter_map(|(id, open)| Some((id, open.client, open.activity.waiting_since()?)));
        let longest = waiting.max_by_key(|(_, client, since)| (self.count(*client), Reverse(*since)));
        longest.map(|(id, ..)| *id)
    }

    /// The oldest connection: of one client, or of the one that has the most.
    fn oldest(&self, only_client: Option<IpAddr>) -> Option<u64> {
        let open = self.open.iter().filter(|(_, open)| only_client.is_none_or(|client| open.client == client));
        open.max_by_key(|(id, open)| (self.count(open.client), Reverse(**id))).map(|(id, _)| *id)
    }

    /// Takes a connection out, and tells it so. One that was taken out before is not there any more.
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
    /// Waits until the place is given to another connection.
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
        assert!(is_open(&new) && is_open(&few), "the oldest is not of who has the most");
        assert_eq!(many.iter().map(is_open).collect::<Vec<_>>(), [true, false, true], "the first is being answered");
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

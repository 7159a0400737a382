//! The connections of a server: how many there may be, and which one is closed for a new one.
//!
//! A new connection always finds a place if any other waits for its client: that one is closed whose client has let the
//! server wait the longest, among those of the client that has the most. So whoever holds many connections and does
//! nothing with them loses them, and a probe is answered whatever else happens. Where the server is at work on all of
//! them, [`WhenAllBusy`] decides.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::network::client_network;
use tokio::sync::Notify;

use crate::activity::{Activity, Order};
use crate::metrics::{Closed, Metrics};

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// In all.
    pub connections: usize,
    /// Of one client: an address of version 4, or a network of 64 bits of version 6.
    pub of_a_client: usize,
    /// What becomes of a new one while the server is at work on all of them.
    pub when_all_busy: WhenAllBusy,
}

/// What becomes of a new connection while the server is at work on all that there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenAllBusy {
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
    order: Order,
    state: Mutex<State>,
    none: Notify,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    open: HashMap<u64, Open>,
    of_client: HashMap<IpAddr, usize>,
}

/// An open connection, as the others see it.
#[derive(Debug)]
struct Open {
    client: IpAddr,
    activity: Arc<Activity>,
    close: Arc<Notify>,
}

/// The place of a connection, free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    id: u64,
    connections: Arc<Connections>,
    pub(crate) activity: Arc<Activity>,
    close: Arc<Notify>,
}

impl Connections {
    pub(crate) fn new(caps: Caps, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { caps, metrics, order: Order::default(), state: Mutex::default(), none: Notify::new() })
    }

    /// A place for a new connection. None if the server is at work on all that there may be.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let client = client_network(address);
        let mut state = self.lock();
        let is_client_full = state.count(client) >= self.caps.of_a_client;
        if is_client_full || state.open.len() >= self.caps.connections {
            let of = is_client_full.then_some(client);
            let Some(given_up) = state.longest_waiting(of).or_else(|| self.oldest_busy(&state, of)) else {
                drop(state);
                self.metrics.closed(Closed::Refused);
                return None;
            };
            self.metrics.closed(Closed::ForAnother);
            state.remove(given_up);
        }
        state.last_id += 1;
        let id = state.last_id;
        let (activity, close) = (Activity::new(&self.order), Arc::new(Notify::new()));
        state.open.insert(id, Open { client, activity: Arc::clone(&activity), close: Arc::clone(&close) });
        *state.of_client.entry(client).or_default() += 1;
        self.metrics.set_open(state.open.len());
        Some(Place { id, connections: Arc::clone(self), activity, close })
    }

    fn oldest_busy(&self, state: &State, of: Option<IpAddr>) -> Option<u64> {
        match self.caps.when_all_busy {
            WhenAllBusy::Refuse => None,
            WhenAllBusy::CloseOldest => state.oldest(of),
        }
    }

    /// Counts that a deadline has ended a connection.
    pub(crate) fn timed_out(&self) {
        self.metrics.closed(Closed::TimedOut);
    }

    /// Waits until there are no connections.
    pub(crate) async fn all_closed(&self) {
        loop {
            let none = self.none.notified();
            if self.lock().open.is_empty() {
                return;
            }
            none.await;
        }
    }

    fn leave(&self, id: u64) {
        let mut state = self.lock();
        state.remove(id);
        self.metrics.set_open(state.open.len());
        if state.open.is_empty() {
            self.none.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self, client: IpAddr) -> usize {
        self.of_client.get(&client).copied().unwrap_or(0)
    }

    /// The connection that has waited longest for its client: of one client, or of the one that has the most.
    fn longest_waiting(&self, of: Option<IpAddr>) -> Option<u64> {
        let open = self.open.iter().filter(|(_, open)| of.is_none_or(|client| open.client == client));
        let waiting = open.filter_map(|(id, open)| Some((id, open.client, open.activity.waiting_since()?)));
        let longest = waiting.max_by_key(|(_, client, since)| (self.count(*client), Reverse(*since)));
        longest.map(|(id, ..)| *id)
    }

    /// The oldest connection: of one client, or of the one that has the most.
    fn oldest(&self, of: Option<IpAddr>) -> Option<u64> {
        let open = self.open.iter().filter(|(_, open)| of.is_none_or(|client| open.client == client));
        open.max_by_key(|(id, open)| (self.count(open.client), Reverse(**id))).map(|(id, _)| *id)
    }

    /// Takes a connection out, and tells it so. One that was taken out before is not there any more.
    fn remove(&mut self, id: u64) {
        let Some(open) = self.open.remove(&id) else { return };
        open.close.notify_one();
        let Some(count) = self.of_client.get_mut(&open.client) else { return };
        *count -= 1;
        if *count == 0 {
            self.of_client.remove(&open.client);
        }
    }
}

impl Place {
    /// Waits until the place is given to another connection.
    pub(crate) async fn given_up(&self) {
        self.close.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Registry;

    fn connections(connections: usize, of_a_client: usize) -> Arc<Connections> {
        let metrics = Metrics::register(&Registry::new(), "test").unwrap();
        Connections::new(Caps { connections, of_a_client, when_all_busy: WhenAllBusy::Refuse }, metrics)
    }

    fn client(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_open(place: &Place) -> bool {
        place.connections.lock().open.contains_key(&place.id)
    }

    #[test]
    fn the_longest_waiting_of_who_has_the_most_gives_way_to_a_new_one() {
        let all = connections(4, 4);
        let few = all.enter(client(1)).unwrap();
        let many: Vec<Place> = (0..3).map(|_| all.enter(client(2)).unwrap()).collect();
        many[0].activity.request_began();
        let new = all.enter(client(3)).unwrap();
        assert!(is_open(&new) && is_open(&few), "the oldest is not of who has the most");
        assert_eq!(many.iter().map(is_open).collect::<Vec<_>>(), [true, false, true], "the first is being answered");
    }

    #[test]
    fn the_oldest_gives_way_where_the_server_is_at_work_on_all() {
        let metrics = Metrics::register(&Registry::new(), "test").unwrap();
        let caps = Caps { connections: 4, of_a_client: 3, when_all_busy: WhenAllBusy::CloseOldest };
        let all = Connections::new(caps, metrics);
        let places: Vec<Place> = [1, 2, 2, 2].into_iter().map(|last| all.enter(client(last)).unwrap()).collect();
        places.iter().for_each(|place| place.activity.request_began());
        let probe = all.enter(client(3)).unwrap();
        probe.activity.request_began();
        assert_eq!(places.iter().map(is_open).collect::<Vec<_>>(), [true, false, true, true]);
        let _own = all.enter(client(1)).unwrap();
        assert_eq!(places.iter().map(is_open).collect::<Vec<_>>(), [true, false, false, true]);
    }

    #[test]
    fn whoever_has_all_of_a_client_gives_way_to_the_own_ones_only() {
        let all = connections(10, 2);
        let other = all.enter(client(1)).unwrap();
        let own: Vec<Place> = (0..3).map(|_| all.enter(client(2)).unwrap()).collect();
        assert!(is_open(&other));
        assert_eq!(own.iter().map(is_open).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn where_all_are_being_answered_a_new_one_is_refused() {
        let all = connections(2, 2);
        let open: Vec<Place> = (0..2).map(|_| all.enter(client(1)).unwrap()).collect();
        open.iter().for_each(|place| place.activity.request_began());
        assert!(all.enter(client(1)).is_none() && all.enter(client(2)).is_none());
        open[1].activity.response_ended();
        assert!(all.enter(client(2)).is_some());
        assert_eq!(open.iter().map(is_open).collect::<Vec<_>>(), [true, false]);
    }

    #[tokio::test]
    async fn a_place_that_was_given_up_and_one_that_is_dropped_are_each_counted_once() {
        let all = connections(1, 1);
        let first = all.enter(client(1)).unwrap();
        let second = all.enter(client(2)).unwrap();
        first.given_up().await;
        drop(first);
        assert_eq!(all.lock().open.len(), 1);
        drop(second);
        all.all_closed().await;
        assert!(all.lock().of_client.is_empty());
    }
}

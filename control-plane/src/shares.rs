//! Places that accounts share: how many of something a process does at a time, and for whom.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::id::AccountId;
use tokio::sync::Notify;

/// The places of one process. Clones share them.
///
/// One account alone may hold all but those that are kept for accounts which hold none. When no place is left, an
/// account that holds less than an even share is given one, and the account that holds most is asked for one back.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    places: usize,
    kept: usize,
    state: Arc<Mutex<State>>,
    returned: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    held: HashMap<AccountId, Vec<Held>>,
}

/// A place that is held, as the others see it.
#[derive(Debug)]
struct Held {
    id: u64,
    recall: Arc<Notify>,
    is_recalled: bool,
}

/// A place, free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    id: u64,
    account: AccountId,
    recall: Arc<Notify>,
    shares: Shares,
}

impl Shares {
    /// So many places, of which some are kept for accounts that hold none: none need be where whoever holds a place gives
    /// it back when asked.
    pub(crate) fn new(places: usize, kept: usize) -> Self {
        Self { places, kept, state: Arc::default(), returned: Arc::default() }
    }

    /// A place for an account, for which it waits so long at most.
    pub(crate) async fn take(&self, account: &AccountId, patience: Duration) -> Option<Place> {
        let taking = async {
            loop {
                let returned = self.returned.notified();
                if let Some(place) = self.take_now(account) {
                    return place;
                }
                returned.await;
            }
        };
        tokio::time::timeout(patience, taking).await.ok()
    }

    fn take_now(&self, account: &AccountId) -> Option<Place> {
        let mut state = self.lock();
        let held = state.held.get(account).map_or(0, Vec::len);
        let free = self.places.saturating_sub(state.held.values().map(Vec::len).sum());
        if free > self.kept || (held == 0 && free > 0) {
            return Some(state.hold(account, self));
        }
        let accounts = state.held.len() + usize::from(held == 0);
        if held < self.places / accounts {
            state.recall_one(held + 1);
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hold(&mut self, account: &AccountId, shares: &Shares) -> Place {
        self.last_id += 1;
        let (id, recall) = (self.last_id, Arc::new(Notify::new()));
        let held = Held { id, recall: Arc::clone(&recall), is_recalled: false };
        self.held.entry(account.clone()).or_default().push(held);
        Place { id, account: account.clone(), recall, shares: shares.clone() }
    }

    /// Asks the account that holds most for its newest place, if it holds more than so many even without it.
    fn recall_one(&mut self, more_than: usize) {
        let keeps = |held: &Vec<Held>| held.iter().filter(|held| !held.is_recalled).count();
        let Some(most) = self.held.values_mut().max_by_key(|held| keeps(held)) else { return };
        if keeps(most) <= more_than {
            return;
        }
        if let Some(newest) = most.iter_mut().rev().find(|held| !held.is_recalled) {
            newest.is_recalled = true;
            newest.recall.notify_one();
        }
    }
}

impl Place {
    /// Waits until the place is asked back.
    pub(crate) async fn recalled(&self) {
        self.recall.notified().await;
        // For whoever asks again.
        self.recall.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.shares.lock();
        if let Some(held) = state.held.get_mut(&self.account) {
            held.retain(|held| held.id != self.id);
            if held.is_empty() {
                state.held.remove(&self.account);
            }
        }
        drop(state);
        self.shares.returned.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u32) -> AccountId {
        AccountId::parse(&format!("acc_00{number}")).unwrap()
    }

    /// What an account gets that takes all it can without waiting.
    fn take_all(shares: &Shares, number: u32) -> Vec<Place> {
        std::iter::from_fn(|| shares.take_now(&account(number))).collect()
    }

    #[test]
    fn one_alone_gets_all_but_what_is_kept_and_each_who_comes_new_gets_one_of_these() {
        let shares = Shares::new(16, 4);
        let first = take_all(&shares, 1);
        assert_eq!(first.len(), 12);
        let new: Vec<usize> = (2..8).map(|number| take_all(&shares, number).leak().len()).collect();
        assert_eq!(new, [1, 1, 1, 1, 0, 0]);
    }

    #[tokio::test]
    async fn where_places_are_given_back_all_get_an_even_share() {
        let shares = Shares::new(12, 0);
        let mut all = take_all(&shares, 1);
        assert_eq!(all.len(), 12, "one alone");
        let keeping = std::mem::take(&mut all).into_iter().map(|place| async move { place.recalled().await });
        let keeping: Vec<_> = keeping.map(|keeping| tokio::spawn(keeping)).collect();
        let mut others = Vec::new();
        for number in [2, 3].repeat(4) {
            let place = shares.take(&account(number), Duration::from_secs(10)).await;
            others.push(place.expect("less than an even share is held"));
        }
        assert_eq!(keeping.iter().filter(|keeping| !keeping.is_finished()).count(), 4);
        assert!(shares.take(&account(2), Duration::from_millis(50)).await.is_none(), "that would be more than even");
        drop(others);
        assert_eq!(shares.lock().held.len(), 1);
    }
}

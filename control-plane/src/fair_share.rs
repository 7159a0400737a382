//! Permits that accounts share: how many operations of one kind a process runs at a time, and for whom.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::id::AccountId;
use tokio::sync::Notify;

/// The permits of one process. Clones share them.
///
/// A single account may hold all permits but those that are reserved for accounts without any. When no permit is left,
/// an account that holds less than an even share gets one, and the account that holds most is preempted.
#[derive(Debug, Clone)]
pub(crate) struct FairShare {
    capacity: usize,
    reserved: usize,
    state: Arc<Mutex<State>>,
    released: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    permits: HashMap<AccountId, Vec<HeldPermit>>,
}

/// A permit that is held, as other accounts see it.
#[derive(Debug)]
struct HeldPermit {
    id: u64,
    preempt: Arc<Notify>,
    is_preempted: bool,
}

/// A permit, released when dropped.
#[derive(Debug)]
pub struct FairSharePermit {
    id: u64,
    account: AccountId,
    preempt: Arc<Notify>,
    fair_share: FairShare,
}

impl FairShare {
    /// Creates `capacity` permits, of which `reserved` are kept for accounts that hold none. Where holders release preempted
    /// permits at once, none need be reserved.
    pub(crate) fn new(capacity: usize, reserved: usize) -> Self {
        Self { capacity, reserved, state: Arc::default(), released: Arc::default() }
    }

    /// Waits for a permit for an account; none after `timeout`.
    pub(crate) async fn acquire(&self, account: &AccountId, timeout: Duration) -> Option<FairSharePermit> {
        let acquiring = async {
            loop {
                let released = self.released.notified();
                if let Some(permit) = self.try_acquire(account) {
                    return permit;
                }
                released.await;
            }
        };
        tokio::time::timeout(timeout, acquiring).await.ok()
    }

    fn try_acquire(&self, account: &AccountId) -> Option<FairSharePermit> {
        let mut state = self.lock();
        let held = state.permits.get(account).map_or(0, Vec::len);
        let free = self.capacity.saturating_sub(state.permits.values().map(Vec::len).sum());
        if free > self.reserved || (held == 0 && free > 0) {
            return Some(state.grant(account, self));
        }
        let accounts = state.permits.len() + usize::from(held == 0);
        if held < self.capacity / accounts {
            state.preempt_one(held + 1);
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn grant(&mut self, account: &AccountId, fair_share: &FairShare) -> FairSharePermit {
        self.last_id += 1;
        let (id, preempt) = (self.last_id, Arc::new(Notify::new()));
        let held = HeldPermit { id, preempt: Arc::clone(&preempt), is_preempted: false };
        self.permits.entry(account.clone()).or_default().push(held);
        FairSharePermit { id, account: account.clone(), preempt, fair_share: fair_share.clone() }
    }

    /// Preempts the newest permit of the account that holds most, if it keeps more than `more_than` without it.
    fn preempt_one(&mut self, more_than: usize) {
        let retained = |held: &Vec<HeldPermit>| held.iter().filter(|held| !held.is_preempted).count();
        let Some(most) = self.permits.values_mut().max_by_key(|held| retained(held)) else { return };
        if retained(most) <= more_than {
            return;
        }
        if let Some(newest) = most.iter_mut().rev().find(|held| !held.is_preempted) {
            newest.is_preempted = true;
            newest.preempt.notify_one();
        }
    }
}

impl FairSharePermit {
    /// Waits until the permit is preempted: its holder should drop it.
    pub async fn preempted(&self) {
        self.preempt.notified().await;
        // So that a second call returns as well.
        self.preempt.notify_one();
    }
}

impl Drop for FairSharePermit {
    fn drop(&mut self) {
        let mut state = self.fair_share.lock();
        if let Some(held) = state.permits.get_mut(&self.account) {
            held.retain(|held| held.id != self.id);
            if held.is_empty() {
                state.permits.remove(&self.account);
            }
        }
        drop(state);
        self.fair_share.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u32) -> AccountId {
        AccountId::parse(&format!("acc_00{number}")).unwrap()
    }

    /// Acquires all permits that an account gets without waiting.
    fn acquire_all(fair_share: &FairShare, number: u32) -> Vec<FairSharePermit> {
        std::iter::from_fn(|| fair_share.try_acquire(&account(number))).collect()
    }

    #[test]
    fn single_account_gets_all_but_the_reserve_and_each_newcomer_gets_one() {
        let fair_share = FairShare::new(16, 4);
        let first = acquire_all(&fair_share, 1);
        assert_eq!(first.len(), 12);
        let new: Vec<usize> = (2..8).map(|number| acquire_all(&fair_share, number).leak().len()).collect();
        assert_eq!(new, [1, 1, 1, 1, 0, 0]);
    }

    #[tokio::test]
    async fn preempted_permits_are_shared_evenly() {
        let fair_share = FairShare::new(12, 0);
        let mut all = acquire_all(&fair_share, 1);
        assert_eq!(all.len(), 12, "one alone");
        let keeping = std::mem::take(&mut all).into_iter().map(|permit| async move { permit.preempted().await });
        let keeping: Vec<_> = keeping.map(|keeping| tokio::spawn(keeping)).collect();
        let mut others = Vec::new();
        for number in [2, 3].repeat(4) {
            let permit = fair_share.acquire(&account(number), Duration::from_secs(10)).await;
            others.push(permit.expect("less than an even share is held"));
        }
        assert_eq!(keeping.iter().filter(|keeping| !keeping.is_finished()).count(), 4);
        assert!(
            fair_share.acquire(&account(2), Duration::from_millis(50)).await.is_none(),
            "that would be more than even"
        );
        drop(others);
        assert_eq!(fair_share.lock().permits.len(), 1);
    }
}

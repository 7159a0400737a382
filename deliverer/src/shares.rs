//! Who gets a place to send from: webhooks whose receivers hold their requests must not hold all places.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::id::{AccountId, ProjectId, WebhookId};
use gatepost_domain::record::Webhook;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::options::{IN_FLIGHT_CAP, MAX_SENDING, QUICK};

/// Deliveries of a webhook that are sent at a time until its receiver has answered one quickly.
const UNPROVEN_CAP: u32 = 1;
/// Webhooks that are remembered as quick. Beyond, all must prove themselves anew.
const MAX_QUICK: usize = 100_000;

/// Whose webhook it is. Of one that cannot be read it is not known, and all of them share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Owner {
    account: Option<AccountId>,
    project: Option<ProjectId>,
}

impl From<&Webhook> for Owner {
    fn from(webhook: &Webhook) -> Self {
        Self { account: Some(webhook.account.clone()), project: webhook.project.clone() }
    }
}

/// The places of one process. Clones share them.
///
/// An account gets a place while it holds fewer than are free, and a project of it while it holds fewer than the
/// account could still get. So one who wants much gets a third of all, and several leave something for who comes new.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    places: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    of_account: HashMap<Option<AccountId>, usize>,
    of_owner: HashMap<Owner, usize>,
    quick: HashSet<WebhookId>,
}

/// A place, free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    owner: Owner,
    shares: Shares,
    _permit: OwnedSemaphorePermit,
}

/// Places for deliveries of one webhook.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) places: Vec<Place>,
    /// How many of the webhook's deliveries may be sent at a time, by all processes together.
    pub(crate) in_flight_cap: u32,
}

impl Shares {
    /// All places, free.
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_SENDING)), state: Arc::default() }
    }

    /// How many are free.
    pub(crate) fn free(&self) -> usize {
        self.places.available_permits()
    }

    /// Waits until all are free.
    pub(crate) async fn all_free(&self) {
        let all = u32::try_from(MAX_SENDING).unwrap_or(u32::MAX);
        // It fails only when the semaphore is closed, which nobody does.
        drop(self.places.acquire_many(all).await);
    }

    /// The places that a webhook may have now, at most its cap.
    pub(crate) fn grant(&self, webhook: &WebhookId, owner: &Owner) -> Granted {
        let in_flight_cap = if self.lock().quick.contains(webhook) { IN_FLIGHT_CAP } else { UNPROVEN_CAP };
        let mut places = Vec::new();
        while places.len() < in_flight_cap as usize
            && let Some(place) = self.one(owner)
        {
            places.push(place);
        }
        Granted { places, in_flight_cap }
    }

    fn one(&self, owner: &Owner) -> Option<Place> {
        let mut state = self.lock();
        let held_by_account = count(&state.of_account, &owner.account);
        let room = self.free().checked_sub(held_by_account).filter(|room| *room > 0)?;
        if count(&state.of_owner, owner) >= room {
            return None;
        }
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        *state.of_account.entry(owner.account.clone()).or_default() += 1;
        *state.of_owner.entry(owner.clone()).or_default() += 1;
        drop(state);
        Some(Place { owner: owner.clone(), shares: self.clone(), _permit: permit })
    }

    /// Remembers how long a receiver took to answer, or not to.
    pub(crate) fn learn(&self, webhook: &WebhookId, took: Duration) {
        let mut state = self.lock();
        if took >= QUICK {
            state.quick.remove(webhook);
        } else if !state.quick.contains(webhook) {
            if state.quick.len() >= MAX_QUICK {
                state.quick.clear();
            }
            state.quick.insert(webhook.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.shares.lock();
        release(&mut state.of_account, &self.owner.account);
        release(&mut state.of_owner, &self.owner);
    }
}

fn count<K: Hash + Eq>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or(0)
}

fn release<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(account: u32, project: u32) -> Owner {
        Owner {
            account: AccountId::parse(&format!("acc_00{account}")).ok(),
            project: ProjectId::parse(&format!("prj_00{project}")).ok(),
        }
    }

    /// What an owner gets who takes all that it can, by webhooks that are not known to be quick.
    fn take_all(shares: &Shares, owner: &Owner) -> Vec<Place> {
        let webhook = WebhookId::parse("wh_00w").unwrap();
        let mut places = Vec::new();
        loop {
            let granted = shares.grant(&webhook, owner).places;
            if granted.is_empty() {
                return places;
            }
            places.extend(granted);
        }
    }

    #[test]
    fn whoever_comes_new_finds_a_place_beside_some_who_take_all_they_can() {
        let shares = Shares::new();
        let mut held = Vec::new();
        for account in 0..6 {
            for project in 0..3 {
                let places = take_all(&shares, &owner(account, project));
                assert!(!places.is_empty(), "project {project} of account {account} got nothing");
                held.extend(places);
            }
        }
        drop(held);
        assert_eq!(shares.free(), MAX_SENDING);
        assert!(shares.lock().of_account.is_empty() && shares.lock().of_owner.is_empty());
    }

    #[test]
    fn one_project_gets_a_third_and_another_of_its_account_still_many() {
        let shares = Shares::new();
        let first = take_all(&shares, &owner(1, 1));
        assert_eq!(first.len(), MAX_SENDING.div_ceil(3));
        assert!(take_all(&shares, &owner(1, 2)).len() > 50);
        assert!(take_all(&shares, &owner(2, 1)).len() > 50);
    }

    #[test]
    fn a_webhook_gets_one_place_until_it_was_quick_and_again_when_it_was_not() {
        let (shares, webhook) = (Shares::new(), WebhookId::parse("wh_00w").unwrap());
        let cap = |shares: &Shares| shares.grant(&webhook, &owner(1, 1)).places.len();
        assert_eq!(cap(&shares), 1);
        shares.learn(&webhook, Duration::from_millis(20));
        assert_eq!(cap(&shares), IN_FLIGHT_CAP as usize);
        shares.learn(&webhook, QUICK);
        assert_eq!(cap(&shares), 1);
    }
}

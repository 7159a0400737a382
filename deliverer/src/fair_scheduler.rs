//! Who gets a place to send from: webhooks whose receivers hold their requests must not hold all places.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::id::{AccountId, ProjectId, WebhookId};
use gatepost_domain::record::Webhook;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::options::{IN_FLIGHT_CAP, MAX_CONCURRENT_SENDS, SLOW_AFTER};

/// Deliveries of a webhook that are sent at a time until its receiver has answered one quickly.
const INITIAL_CONCURRENCY: u32 = 1;
/// Webhooks that are remembered as quick. Beyond, all must prove themselves anew.
const MAX_FAST_WEBHOOKS: usize = 100_000;

/// Whose webhook it is. Of one that cannot be read it is not known, and all of them share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Tenant {
    account: Option<AccountId>,
    project: Option<ProjectId>,
}

impl From<&Webhook> for Tenant {
    fn from(webhook: &Webhook) -> Self {
        Self { account: Some(webhook.account.clone()), project: webhook.project.clone() }
    }
}

/// The places of one process. Clones share them.
///
/// An account gets a place while it holds fewer than are free, and a project of it while it holds fewer than the
/// account could still get. So one who wants much gets a third of all, and several leave something for who comes new.
#[derive(Debug, Clone)]
pub(crate) struct FairScheduler {
    slots: Arc<Semaphore>,
    state: Arc<Mutex<Usage>>,
}

#[derive(Debug, Default)]
struct Usage {
    slots_by_account: HashMap<Option<AccountId>, usize>,
    slots_by_tenant: HashMap<Tenant, usize>,
    fast_webhooks: HashSet<WebhookId>,
}

/// A place, free again when dropped.
#[derive(Debug)]
pub(crate) struct SendSlot {
    tenant: Tenant,
    scheduler: FairScheduler,
    _permit: OwnedSemaphorePermit,
}

/// Places for deliveries of one webhook.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) slots: Vec<SendSlot>,
    /// How many of the webhook's deliveries may be sent at a time, by all processes together.
    pub(crate) in_flight_cap: u32,
}

impl FairScheduler {
    /// All places, free.
    pub(crate) fn new() -> Self {
        Self { slots: Arc::new(Semaphore::new(MAX_CONCURRENT_SENDS)), state: Arc::default() }
    }

    /// How many are free.
    pub(crate) fn free_slots(&self) -> usize {
        self.slots.available_permits()
    }

    /// Waits until all are free.
    pub(crate) async fn wait_until_idle(&self) {
        let all = u32::try_from(MAX_CONCURRENT_SENDS).unwrap_or(u32::MAX);
        // It fails only when the semaphore is closed, which nobody does.
        drop(self.slots.acquire_many(all).await);
    }

    /// The places that a webhook may have now, at most its cap.
    pub(crate) fn grant(&self, webhook: &WebhookId, tenant: &Tenant) -> Grant {
        let in_flight_cap =
            if self.lock().fast_webhooks.contains(webhook) { IN_FLIGHT_CAP } else { INITIAL_CONCURRENCY };
        let mut slots = Vec::new();
        while slots.len() < in_flight_cap as usize
            && let Some(slot) = self.try_take_slot(tenant)
        {
            slots.push(slot);
        }
        Grant { slots, in_flight_cap }
    }

    fn try_take_slot(&self, tenant: &Tenant) -> Option<SendSlot> {
        let mut state = self.lock();
        let held_by_account = slots_held(&state.slots_by_account, &tenant.account);
        let available = self.free_slots().checked_sub(held_by_account).filter(|available| *available > 0)?;
        if slots_held(&state.slots_by_tenant, tenant) >= available {
            return None;
        }
        let permit = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        *state.slots_by_account.entry(tenant.account.clone()).or_default() += 1;
        *state.slots_by_tenant.entry(tenant.clone()).or_default() += 1;
        drop(state);
        Some(SendSlot { tenant: tenant.clone(), scheduler: self.clone(), _permit: permit })
    }

    /// Remembers how long a receiver took to answer, or not to.
    pub(crate) fn record_duration(&self, webhook: &WebhookId, elapsed: Duration) {
        let mut state = self.lock();
        if elapsed >= SLOW_AFTER {
            state.fast_webhooks.remove(webhook);
        } else if !state.fast_webhooks.contains(webhook) {
            if state.fast_webhooks.len() >= MAX_FAST_WEBHOOKS {
                state.fast_webhooks.clear();
            }
            state.fast_webhooks.insert(webhook.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Usage> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SendSlot {
    fn drop(&mut self) {
        let mut state = self.scheduler.lock();
        release(&mut state.slots_by_account, &self.tenant.account);
        release(&mut state.slots_by_tenant, &self.tenant);
    }
}

fn slots_held<K: Hash + Eq>(counts: &HashMap<K, usize>, key: &K) -> usize {
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

    fn tenant(account: u32, project: u32) -> Tenant {
        Tenant {
            account: AccountId::parse(&format!("acc_00{account}")).ok(),
            project: ProjectId::parse(&format!("prj_00{project}")).ok(),
        }
    }

    /// What an owner gets who takes all that it can, by webhooks that are not known to be quick.
    fn take_all_slots(scheduler: &FairScheduler, tenant: &Tenant) -> Vec<SendSlot> {
        let webhook = WebhookId::parse("wh_00w").unwrap();
        let mut slots = Vec::new();
        loop {
            let slots_granted = scheduler.grant(&webhook, tenant).slots;
            if slots_granted.is_empty() {
                return slots;
            }
            slots.extend(slots_granted);
        }
    }

    #[test]
    fn new_tenant_gets_a_slot_beside_greedy_ones() {
        let scheduler = FairScheduler::new();
        let mut held = Vec::new();
        for account in 0..6 {
            for project in 0..3 {
                let slots = take_all_slots(&scheduler, &tenant(account, project));
                assert!(!slots.is_empty(), "project {project} of account {account} got nothing");
                held.extend(slots);
            }
        }
        drop(held);
        assert_eq!(scheduler.free_slots(), MAX_CONCURRENT_SENDS);
        assert!(scheduler.lock().slots_by_account.is_empty() && scheduler.lock().slots_by_tenant.is_empty());
    }

    #[test]
    fn greedy_project_gets_a_third_and_others_still_get_many() {
        let scheduler = FairScheduler::new();
        let first = take_all_slots(&scheduler, &tenant(1, 1));
        assert_eq!(first.len(), MAX_CONCURRENT_SENDS.div_ceil(3));
        assert!(take_all_slots(&scheduler, &tenant(1, 2)).len() > 50);
        assert!(take_all_slots(&scheduler, &tenant(2, 1)).len() > 50);
    }

    #[test]
    fn webhook_gets_one_slot_until_it_is_fast_and_again_when_it_is_slow() {
        let (scheduler, webhook) = (FairScheduler::new(), WebhookId::parse("wh_00w").unwrap());
        let cap = |scheduler: &FairScheduler| scheduler.grant(&webhook, &tenant(1, 1)).slots.len();
        assert_eq!(cap(&scheduler), 1);
        scheduler.record_duration(&webhook, Duration::from_millis(20));
        assert_eq!(cap(&scheduler), IN_FLIGHT_CAP as usize);
        scheduler.record_duration(&webhook, SLOW_AFTER);
        assert_eq!(cap(&scheduler), 1);
    }
}

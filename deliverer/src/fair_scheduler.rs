//! Fair allocation of send slots: webhooks with slow receivers must not occupy all of them.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::id::{AccountId, ProjectId, WebhookId};
use gatepost_domain::record::Webhook;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::options::{IN_FLIGHT_CAP, MAX_CONCURRENT_SENDS, SLOW_AFTER};

/// Concurrent deliveries of a webhook until its receiver has responded quickly once.
const INITIAL_CONCURRENCY: u32 = 1;
/// Maximum number of webhooks recorded as fast. Beyond that all are forgotten.
const MAX_FAST_WEBHOOKS: usize = 100_000;

/// Owner of a webhook: account and project. Webhooks that cannot be decoded share one tenant without either.
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

/// Send slots of one process. Clones share them.
///
/// An account gets a slot while it holds fewer than are free, and a project while it holds fewer than its
/// account could still get. So a greedy project gets at most a third of all slots, an account with several at most half,
/// and a newcomer finds a slot even next to several greedy ones.
#[derive(Debug, Clone)]
pub(crate) struct FairScheduler {
    slots: Arc<Semaphore>,
    state: Arc<Mutex<Usage>>,
    /// Wakes the dispatcher.
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Usage {
    slots_by_account: HashMap<Option<AccountId>, usize>,
    slots_by_tenant: HashMap<Tenant, usize>,
    fast_webhooks: HashSet<WebhookId>,
    /// Whether a webhook got fewer slots than its cap since a slot was freed.
    is_short: bool,
}

/// A send slot, freed when dropped. If one was missing, that wakes the dispatcher.
#[derive(Debug)]
pub(crate) struct SendSlot {
    tenant: Tenant,
    scheduler: FairScheduler,
    permit: Option<OwnedSemaphorePermit>,
}

/// Send slots for deliveries of one webhook.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) slots: Vec<SendSlot>,
    /// Maximum number of concurrent deliveries of the webhook, over all processes.
    pub(crate) in_flight_cap: u32,
}

impl Grant {
    /// Returns the number of slots.
    pub(crate) fn slot_count(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(IN_FLIGHT_CAP)
    }

    /// Lowers the cap, and frees the slots above it.
    pub(crate) fn reduce_to(&mut self, cap: u32) {
        self.in_flight_cap = self.in_flight_cap.min(cap);
        self.reduce_slots_to(self.in_flight_cap);
    }

    /// Frees the slots above a number.
    pub(crate) fn reduce_slots_to(&mut self, count: u32) {
        self.slots.truncate(count as usize);
    }
}

impl FairScheduler {
    /// Creates a scheduler with [`MAX_CONCURRENT_SENDS`] free slots.
    pub(crate) fn new(wake: Arc<Notify>) -> Self {
        Self { slots: Arc::new(Semaphore::new(MAX_CONCURRENT_SENDS)), state: Arc::default(), wake }
    }

    /// Returns the number of free slots.
    pub(crate) fn free_slots(&self) -> usize {
        self.slots.available_permits()
    }

    /// Returns the number of deliveries that hold a slot.
    pub(crate) fn used_slots(&self) -> usize {
        MAX_CONCURRENT_SENDS - self.free_slots()
    }

    /// Waits until all slots are free.
    pub(crate) async fn wait_until_idle(&self) {
        let all = u32::try_from(MAX_CONCURRENT_SENDS).unwrap_or(u32::MAX);
        // Fails only if the semaphore is closed, which never happens.
        let _ = self.slots.acquire_many(all).await;
    }

    /// Grants the slots that a webhook may have now, up to its cap and `max_in_flight`.
    pub(crate) fn grant(&self, webhook: &WebhookId, tenant: &Tenant, max_in_flight: u32) -> Grant {
        let in_flight_cap =
            if self.lock().fast_webhooks.contains(webhook) { max_in_flight } else { INITIAL_CONCURRENCY };
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
        let available = self.free_slots().saturating_sub(held_by_account);
        if slots_held(&state.slots_by_tenant, tenant) >= available {
            state.is_short = true;
            return None;
        }
        let permit = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        *state.slots_by_account.entry(tenant.account.clone()).or_default() += 1;
        *state.slots_by_tenant.entry(tenant.clone()).or_default() += 1;
        drop(state);
        Some(SendSlot { tenant: tenant.clone(), scheduler: self.clone(), permit: Some(permit) })
    }

    /// Records how long an attempt took, whether the receiver responded or not.
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
        drop(self.permit.take());
        let mut state = self.scheduler.lock();
        release(&mut state.slots_by_account, &self.tenant.account);
        release(&mut state.slots_by_tenant, &self.tenant);
        if std::mem::take(&mut state.is_short) {
            self.scheduler.wake.notify_one();
        }
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
    use futures::FutureExt;

    use super::*;

    fn tenant(account: u32, project: u32) -> Tenant {
        Tenant {
            account: AccountId::parse(&format!("acc_00{account}")).ok(),
            project: ProjectId::parse(&format!("prj_00{project}")).ok(),
        }
    }

    /// Takes all slots that a tenant can get with webhooks that are not known to be fast.
    fn take_all_slots(scheduler: &FairScheduler, tenant: &Tenant) -> Vec<SendSlot> {
        let webhook = WebhookId::parse("wh_00w").unwrap();
        let mut slots = Vec::new();
        loop {
            let slots_granted = scheduler.grant(&webhook, tenant, IN_FLIGHT_CAP).slots;
            if slots_granted.is_empty() {
                return slots;
            }
            slots.extend(slots_granted);
        }
    }

    #[test]
    fn new_tenant_gets_a_slot_next_to_greedy_ones() {
        let scheduler = FairScheduler::new(Arc::default());
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
        let scheduler = FairScheduler::new(Arc::default());
        let first = take_all_slots(&scheduler, &tenant(1, 1));
        assert_eq!(first.len(), MAX_CONCURRENT_SENDS.div_ceil(3));
        assert!(take_all_slots(&scheduler, &tenant(1, 2)).len() > 50);
        assert!(take_all_slots(&scheduler, &tenant(2, 1)).len() > 50);
    }

    #[test]
    fn freed_slot_wakes_the_dispatcher_if_one_was_missing() {
        let wake = Arc::new(Notify::new());
        let scheduler = FairScheduler::new(Arc::clone(&wake));
        let was_woken = || wake.notified().now_or_never().is_some();
        let webhook = WebhookId::parse("wh_00w").unwrap();
        drop(scheduler.grant(&webhook, &tenant(1, 1), 1));
        assert!(!was_woken(), "none was missing");
        let mut slots = take_all_slots(&scheduler, &tenant(1, 1));
        slots.pop();
        assert!(was_woken());
        slots.pop();
        assert!(!was_woken(), "nobody has asked again");
    }

    #[test]
    fn webhook_gets_one_slot_until_it_is_fast_and_again_when_it_is_slow() {
        let (scheduler, webhook) = (FairScheduler::new(Arc::default()), WebhookId::parse("wh_00w").unwrap());
        let cap = |scheduler: &FairScheduler| scheduler.grant(&webhook, &tenant(1, 1), IN_FLIGHT_CAP).slots.len();
        assert_eq!(cap(&scheduler), 1);
        scheduler.record_duration(&webhook, Duration::from_millis(20));
        assert_eq!(cap(&scheduler), IN_FLIGHT_CAP as usize);
        assert_eq!(scheduler.grant(&webhook, &tenant(1, 1), 3).slots.len(), 3, "its own maximum is lower");
        scheduler.record_duration(&webhook, SLOW_AFTER);
        assert_eq!(cap(&scheduler), 1);
    }
}

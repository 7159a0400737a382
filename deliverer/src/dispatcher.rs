//! Dispatcher: leases due deliveries, up to a maximum, and sends them concurrently.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gatepost_domain::id::{LeaseToken, WebhookId};
use gatepost_runtime::{Task, error_chain, spawn_with_fallback};
use gatepost_store::DeliveryLeaseRequest;
use gatepost_store::{Result, StoreErrorKind, os_rng};
use tokio::time::Instant;

use crate::context::{DelivererContext, sleep_unless_stopped};
use crate::delivery;
use crate::fair_scheduler::{Grant, SendSlot, Tenant};
use crate::lease::{DeliveryLease, LeaseDeadline, WebhookSnapshot};
use crate::options::{IN_FLIGHT_CAP, LEASE_DURATION};

/// Maximum number of webhooks per round.
const MAX_WEBHOOKS_PER_ROUND: u32 = 256;
/// Maximum number of webhooks whose tenant is cached. Beyond that the cache is cleared.
const MAX_CACHED_TENANTS: usize = 100_000;
/// Interval at which the queues are polled: another deliverer may have made something due.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Delay before the next round after a failure of the store.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Dispatches deliveries until the deliverer is stopped.
pub(crate) async fn run(context: DelivererContext) {
    let mut stopped = context.stopped.clone();
    let mut dispatcher =
        Dispatcher { context: context.clone(), tenants: HashMap::new(), skipped_webhooks: 0, leased_count: 0 };
    while !*stopped.borrow() {
        match dispatcher.run_round().await {
            Ok(NextRound::Now) => {}
            Ok(NextRound::After(wait)) => {
                tokio::select! {
                    () = context.wake.notified() => {}
                    () = sleep_unless_stopped(&mut stopped, wait) => {}
                }
            }
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "leasing deliveries failed, retrying in 500 ms");
                sleep_unless_stopped(&mut stopped, PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// When the next round starts.
enum NextRound {
    Now,
    After(Duration),
}

/// Runs rounds over all due webhooks, so that webhooks without a free slot do not hide the others.
struct Dispatcher {
    context: DelivererContext,
    /// Cached tenants. A webhook never changes its tenant.
    tenants: HashMap<WebhookId, Tenant>,
    /// Due webhooks that got no slot since the last round that started with the longest overdue one.
    skipped_webhooks: u32,
    /// Deliveries leased in those rounds.
    leased_count: usize,
}

impl Dispatcher {
    async fn run_round(&mut self) -> Result<NextRound> {
        let context = self.context.clone();
        if context.scheduler.free_slots() == 0 {
            return Ok(NextRound::After(POLL_INTERVAL));
        }
        let due = context.store.due_webhooks(self.skipped_webhooks, MAX_WEBHOOKS_PER_ROUND).await?;
        let seen = u32::try_from(due.webhooks.len()).unwrap_or(MAX_WEBHOOKS_PER_ROUND);
        let mut leases = Vec::new();
        for webhook in due.webhooks {
            let tenant = self.tenant_of(&webhook).await?;
            let grant = context.scheduler.grant(&webhook, &tenant);
            if !grant.slots.is_empty() {
                leases.push(lease_and_deliver(&context, webhook, grant));
            }
        }
        let served = u32::try_from(leases.len()).unwrap_or(MAX_WEBHOOKS_PER_ROUND);
        for leased in join_all(leases).await {
            self.leased_count += leased?;
        }
        if seen == MAX_WEBHOOKS_PER_ROUND {
            self.skipped_webhooks += seen - served;
            return Ok(NextRound::Now);
        }
        self.skipped_webhooks = 0;
        match std::mem::take(&mut self.leased_count) {
            0 => Ok(NextRound::After(due.next_in.map_or(POLL_INTERVAL, |next| next.min(POLL_INTERVAL)))),
            _ => Ok(NextRound::Now),
        }
    }

    /// Returns the tenant of a webhook. Deleted and undecodable webhooks share the default tenant.
    async fn tenant_of(&mut self, webhook: &WebhookId) -> Result<Tenant> {
        if let Some(tenant) = self.tenants.get(webhook) {
            return Ok(tenant.clone());
        }
        let tenant = match self.context.store.webhook(webhook).await {
            Ok(Some(found)) => Tenant::from(&found.record),
            Ok(None) => return Ok(Tenant::default()),
            // The attempt reports it.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => return Ok(Tenant::default()),
            Err(error) => return Err(error),
        };
        if self.tenants.len() >= MAX_CACHED_TENANTS {
            self.tenants.clear();
        }
        self.tenants.insert(webhook.clone(), tenant.clone());
        Ok(tenant)
    }
}

/// Leases as many deliveries as there are slots, so that no leased delivery waits here, and spawns them.
async fn lease_and_deliver(context: &DelivererContext, webhook: WebhookId, grant: Grant) -> Result<usize> {
    let token = LeaseToken::generate(&mut os_rng());
    let request = DeliveryLeaseRequest {
        webhook: webhook.clone(),
        token: token.clone(),
        max_deliveries: u32::try_from(grant.slots.len()).unwrap_or(IN_FLIGHT_CAP),
        in_flight_cap: grant.in_flight_cap,
        lease_duration: LEASE_DURATION,
    };
    // Taken before the lease is requested, so the real lease ends later.
    let deadline = Instant::now() + LEASE_DURATION;
    // Leased deliveries are sent at once, so the webhook is read once, together with the lease, for all of
    // them.
    let (leased, webhook_snapshot) =
        tokio::join!(context.store.lease_deliveries(request), read_webhook(context, &webhook));
    let (leased, webhook_snapshot) = (leased?, webhook_snapshot?);
    let count = leased.len();
    for (leased, slot) in leased.into_iter().zip(grant.slots) {
        let (webhook, webhook_snapshot, token) = (webhook.clone(), webhook_snapshot.clone(), token.clone());
        let lease = Arc::new(DeliveryLease {
            webhook,
            webhook_snapshot,
            token,
            leased: Arc::new(leased),
            deadline: LeaseDeadline::new(deadline),
        });
        let delivering = delivery::deliver(context.clone(), Arc::clone(&lease));
        let failing = delivery::settle_after_panic(context.clone(), lease);
        spawn_with_fallback(
            Task::Delivery,
            delivering,
            failing,
            SlotGuard { slot: Some(slot), context: context.clone() },
        );
    }
    Ok(count)
}

async fn read_webhook(context: &DelivererContext, webhook: &WebhookId) -> Result<WebhookSnapshot> {
    match context.store.webhook(webhook).await {
        Ok(Some(found)) => Ok(WebhookSnapshot::Found(Arc::new(found.record))),
        Ok(None) => Ok(WebhookSnapshot::Deleted),
        Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(WebhookSnapshot::Unreadable(error)),
        Err(error) => Err(error),
    }
}

/// Send slot of a delivery. When the delivery has ended, the slot is freed and then the dispatcher is woken.
struct SlotGuard {
    slot: Option<SendSlot>,
    context: DelivererContext,
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        drop(self.slot.take());
        self.context.wake.notify_one();
    }
}

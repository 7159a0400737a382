//! Work: due deliveries are leased, a bounded number at a time, and sent side by side.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gatepost_domain::id::{LeaseToken, WebhookId};
use gatepost_runtime::{Task, spawn_with_fallback};
use gatepost_store::ops::DeliveryLeaseRequest;
use gatepost_store::{Result, StoreErrorKind, os_rng};
use tokio::time::Instant;

use crate::context::{DelivererContext, sleep_unless_stopped};
use crate::delivery;
use crate::fair_scheduler::{Grant, SendSlot, Tenant};
use crate::lease::{DeliveryLease, LeaseDeadline, WebhookSnapshot};
use crate::options::{IN_FLIGHT_CAP, LEASE_DURATION};

/// Webhooks that one round looks at.
const MAX_WEBHOOKS_PER_ROUND: u32 = 256;
/// Webhooks whose owner is remembered. Beyond, they are read anew.
const MAX_CACHED_TENANTS: usize = 100_000;
/// Other deliverers may make something due without our knowing, so the queues are asked this often.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long to wait after a failure of the store.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Works until the deliverer is stopped.
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
                tracing::warn!(%error, "deliveries wait");
                sleep_unless_stopped(&mut stopped, PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// When the next round begins.
enum NextRound {
    Now,
    After(Duration),
}

/// Rounds go through all due webhooks, so that those which get no place now do not hide the others.
struct Dispatcher {
    context: DelivererContext,
    /// A webhook never changes its owner.
    tenants: HashMap<WebhookId, Tenant>,
    /// Due webhooks that got nothing in the rounds since the one that began with the longest due.
    skipped_webhooks: u32,
    /// What those rounds have leased.
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

    /// Whose webhook it is.
    async fn tenant_of(&mut self, webhook: &WebhookId) -> Result<Tenant> {
        if let Some(tenant) = self.tenants.get(webhook) {
            return Ok(tenant.clone());
        }
        let tenant = match self.context.store.webhook(webhook).await {
            Ok(Some(found)) => Tenant::from(&found.record),
            Ok(None) => return Ok(Tenant::default()),
            // Its deliveries will tell.
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

/// Leases for places that are there, so that nothing is leased that would only wait here.
async fn lease_and_deliver(context: &DelivererContext, webhook: WebhookId, grant: Grant) -> Result<usize> {
    let token = LeaseToken::generate(&mut os_rng());
    let request = DeliveryLeaseRequest {
        webhook: webhook.clone(),
        token: token.clone(),
        max_deliveries: u32::try_from(grant.slots.len()).unwrap_or(IN_FLIGHT_CAP),
        in_flight_cap: grant.in_flight_cap,
        lease_duration: LEASE_DURATION,
    };
    // Taken before the lease is asked for, which cannot end earlier.
    let deadline = Instant::now() + LEASE_DURATION;
    // What is leased is sent at once, so the webhook is read anew with the lease, for all of them.
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
            leased,
            deadline: LeaseDeadline::new(deadline),
        });
        let delivering = delivery::deliver(context.clone(), Arc::clone(&lease));
        let failing = delivery::fail(context.clone(), lease);
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
        Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(WebhookSnapshot::Unreadable(error.to_string())),
        Err(error) => Err(error),
    }
}

/// A place, until a delivery has ended. Then the work loop is woken.
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

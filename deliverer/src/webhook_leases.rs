//! Leases of one webhook's due deliveries, up to its limits, and the tasks that send them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gatepost_domain::id::{LeaseToken, WebhookId};
use gatepost_runtime::{Task, spawn_with_fallback};
use gatepost_store::DeliveryLeaseRequest;
use gatepost_store::{Disposition, LeasedDelivery, Result, Settlement, os_rng};
use tokio::time::Instant;

use crate::context::DelivererContext;
use crate::delivery;
use crate::fair_scheduler::{Grant, SendSlot};
use crate::lease::{DeliveryLease, LastRead, LeaseDeadline, WebhookSnapshot};
use crate::options::{LEASE_DURATION, PAUSED_RECHECK_INTERVAL};
use crate::send_limits::RateTokens;

/// What one round did for a webhook.
#[derive(Debug)]
pub(crate) struct WebhookRound {
    pub(crate) webhook: WebhookId,
    /// Number of leased deliveries.
    pub(crate) leased: usize,
    /// Whether more may be due.
    pub(crate) has_more: bool,
    /// What was read about the webhook in this round.
    pub(crate) read: LastRead,
    /// Time before which its rate allows no request.
    pub(crate) paced_until: Option<Instant>,
}

/// Deliveries leased under one token.
struct Leases {
    token: LeaseToken,
    /// Their webhook, as read with them.
    snapshot: WebhookSnapshot,
    deliveries: Vec<LeasedDelivery>,
    /// Time until which they are certainly held.
    deadline: Instant,
}

/// Leases as many deliveries as there are slots, so that no leased delivery waits here, and spawns them.
///
/// A webhook that had no limits and was not paused, which is the rule, is read by the lease itself. Leases of one that was
/// given limits or paused meanwhile are released.
pub(crate) async fn lease_and_deliver(
    context: &Arc<DelivererContext>,
    webhook: WebhookId,
    known: LastRead,
    grant: Grant,
) -> Result<WebhookRound> {
    if known != LastRead::default() {
        return lease_within_limits(context, webhook, grant).await;
    }
    let slots = grant.slots.len();
    let leases = lease(context, &webhook, &grant).await?;
    let (read, leased) = (leases.snapshot.last_read(), leases.deliveries.len());
    start_unless_changed(context, &webhook, known, leases, grant.slots).await;
    Ok(WebhookRound { webhook, leased, has_more: leased == slots || read != known, read, paced_until: None })
}

async fn lease_within_limits(
    context: &Arc<DelivererContext>,
    webhook: WebhookId,
    mut grant: Grant,
) -> Result<WebhookRound> {
    let read = read_webhook(context, &webhook).await?;
    if read.is_paused {
        return hold_paused(context, webhook, read).await;
    }
    grant.reduce_to(read.limits.in_flight_cap());
    let tokens = match read.limits.rate {
        Some(rate) => Some(RateTokens::lease(&context.store, &webhook, rate, grant.slot_count()).await?),
        None => None,
    };
    let mut paced_until = None;
    if let Some(tokens) = &tokens {
        grant.reduce_slots_to(tokens.count);
        paced_until = tokens.exhausted_until;
    }
    let granted = grant.slot_count();
    if granted == 0 {
        return Ok(WebhookRound { webhook, leased: 0, has_more: false, read, paced_until });
    }
    let leases = lease(context, &webhook, &grant).await?;
    let read_last = leases.snapshot.last_read();
    let started = start_unless_changed(context, &webhook, read, leases, grant.slots).await;
    let unused = granted.saturating_sub(u32::try_from(started).unwrap_or(granted));
    if let Some(tokens) = tokens.filter(|_| unused > 0) {
        tokens.give_back(&context.store, &webhook, unused).await;
        paced_until = None;
    }
    let has_more = unused == 0 || read_last != read;
    Ok(WebhookRound { webhook, leased: started, has_more, read: read_last, paced_until })
}

/// Starts leased deliveries, or releases them if what decided how they were leased has changed. Returns how many it
/// started.
async fn start_unless_changed(
    context: &Arc<DelivererContext>,
    webhook: &WebhookId,
    expected: LastRead,
    leases: Leases,
    slots: Vec<SendSlot>,
) -> usize {
    if leases.snapshot.last_read() != expected {
        release(context, webhook, leases).await;
        return 0;
    }
    let count = leases.deliveries.len();
    spawn_deliveries(context, webhook, leases, slots);
    count
}

/// Holds the queue of a paused webhook, so that its deliveries are not leased again and again. Resuming it ends the hold.
async fn hold_paused(context: &DelivererContext, webhook: WebhookId, read: LastRead) -> Result<WebhookRound> {
    context.store.hold_queue(&webhook, PAUSED_RECHECK_INTERVAL).await?;
    Ok(WebhookRound { webhook, leased: 0, has_more: false, read, paced_until: None })
}

async fn lease(context: &DelivererContext, webhook: &WebhookId, grant: &Grant) -> Result<Leases> {
    let token = LeaseToken::generate(&mut os_rng());
    let request = DeliveryLeaseRequest {
        webhook: webhook.clone(),
        token: token.clone(),
        max_deliveries: grant.slot_count(),
        in_flight_cap: grant.in_flight_cap,
        lease_duration: LEASE_DURATION,
    };
    // Taken before the lease is requested, so the real lease ends later.
    let deadline = Instant::now() + LEASE_DURATION;
    let leases = context.store.lease_deliveries(request).await?;
    let snapshot = WebhookSnapshot::new(leases.webhook)?;
    Ok(Leases { token, snapshot, deliveries: leases.deliveries, deadline })
}

/// Starts leased deliveries. They are sent at once, so the webhook was read once for all of them.
fn spawn_deliveries(context: &Arc<DelivererContext>, webhook: &WebhookId, leases: Leases, slots: Vec<SendSlot>) {
    for (leased, slot) in leases.deliveries.into_iter().zip(slots) {
        let lease = Arc::new(DeliveryLease {
            webhook: webhook.clone(),
            webhook_snapshot: leases.snapshot.clone(),
            token: leases.token.clone(),
            leased: Arc::new(leased),
            deadline: LeaseDeadline::new(leases.deadline),
        });
        // Boxed, because a task moves its future several times before it runs.
        let delivering = Box::pin(delivery::deliver(Arc::clone(context), Arc::clone(&lease)));
        let failing_context = Arc::clone(context);
        let settle_after_panic = move || Box::pin(delivery::settle_after_panic(failing_context, lease));
        spawn_with_fallback(Task::Delivery, delivering, settle_after_panic, slot);
    }
}

/// Gives up leases, so that the deliveries are due at once.
async fn release(context: &DelivererContext, webhook: &WebhookId, leases: Leases) {
    let deadline = LeaseDeadline::new(leases.deadline);
    let released = leases.deliveries.into_iter().map(|leased| {
        Arc::new(Settlement {
            webhook: webhook.clone(),
            delivery: Arc::new(leased),
            token: leases.token.clone(),
            disposition: Disposition::Defer(Duration::ZERO),
            attempt: None,
            hold: None,
        })
    });
    let released: Vec<_> = released.collect();
    join_all(released.iter().map(|settlement| context.ack_batcher.settle_with_retry(settlement, &deadline))).await;
}

async fn read_webhook(context: &DelivererContext, webhook: &WebhookId) -> Result<LastRead> {
    let found = context.store.webhook(webhook).await.map(|found| found.map(|found| found.record));
    Ok(WebhookSnapshot::new(found)?.last_read())
}

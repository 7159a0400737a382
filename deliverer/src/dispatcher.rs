//! Dispatcher: leases due deliveries, up to a maximum, and sends them concurrently.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::join_all;
use gatepost_domain::id::WebhookId;
use gatepost_runtime::error_chain;
use gatepost_store::{Result, StoreErrorKind};
use tokio::time::Instant;

use crate::context::{DelivererContext, sleep_unless_stopped};
use crate::fair_scheduler::Tenant;
use crate::send_limits::SendLimits;
use crate::webhook_leases::{WebhookRound, lease_and_deliver};

/// Maximum number of webhooks per round.
const MAX_WEBHOOKS_PER_ROUND: u32 = 256;
/// Maximum number of webhooks that are cached. Beyond that the cache is cleared.
const MAX_CACHED_WEBHOOKS: usize = 100_000;
/// Interval at which the queues are polled: another deliverer may have made something due.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Delay before the next round after a failure of the store.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Dispatches deliveries until the deliverer is stopped.
pub(crate) async fn run(context: DelivererContext) {
    let mut stopped = context.stopped.clone();
    let mut dispatcher =
        Dispatcher { context: context.clone(), webhooks: HashMap::new(), skipped_webhooks: 0, leased_count: 0 };
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

/// What the dispatcher knows about a webhook before it reads it.
#[derive(Debug, Clone, Default)]
struct KnownWebhook {
    /// A webhook never changes its tenant.
    tenant: Tenant,
    /// Limits as last read.
    limits: SendLimits,
    /// Time before which its rate allows no request, as the store said last.
    paced_until: Option<Instant>,
}

/// Runs rounds over all due webhooks, so that webhooks without a free slot do not hide the others.
struct Dispatcher {
    context: DelivererContext,
    /// Webhooks that had due deliveries.
    webhooks: HashMap<WebhookId, KnownWebhook>,
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
        let (mut leases, mut paced) = (Vec::new(), Vec::new());
        for webhook in due.webhooks {
            let known = self.known_webhook(&webhook).await?;
            if let Some(until) = known.paced_until.filter(|until| Instant::now() < *until) {
                paced.push(until);
                continue;
            }
            let grant = context.scheduler.grant(&webhook, &known.tenant, known.limits.in_flight_cap());
            if !grant.slots.is_empty() {
                leases.push(lease_and_deliver(&context, webhook, known.limits, grant));
            }
        }
        let served = u32::try_from(leases.len()).unwrap_or(MAX_WEBHOOKS_PER_ROUND);
        for round in join_all(leases).await {
            let round = round?;
            self.leased_count += round.leased;
            paced.extend(round.paced_until);
            self.remember(round);
        }
        if seen == MAX_WEBHOOKS_PER_ROUND {
            self.skipped_webhooks += seen - served;
            return Ok(NextRound::Now);
        }
        self.skipped_webhooks = 0;
        let next_pace = paced.into_iter().min().map(|until| until.saturating_duration_since(Instant::now()));
        let next = due.next_in.into_iter().chain(next_pace).fold(POLL_INTERVAL, Duration::min);
        match std::mem::take(&mut self.leased_count) {
            0 => Ok(NextRound::After(next)),
            _ => Ok(NextRound::Now),
        }
    }

    /// Stores what a round has read about a webhook.
    fn remember(&mut self, round: WebhookRound) {
        if let Some(known) = self.webhooks.get_mut(&round.webhook) {
            known.limits = round.limits;
            known.paced_until = round.paced_until;
        }
    }

    /// Returns a webhook from the cache or the store. Deleted and undecodable webhooks share the default tenant.
    async fn known_webhook(&mut self, webhook: &WebhookId) -> Result<KnownWebhook> {
        if let Some(known) = self.webhooks.get(webhook) {
            return Ok(known.clone());
        }
        let known = match self.context.store.webhook(webhook).await {
            Ok(Some(found)) => KnownWebhook {
                tenant: Tenant::from(&found.record),
                limits: SendLimits::of(&found.record.delivery),
                paced_until: None,
            },
            Ok(None) => return Ok(KnownWebhook::default()),
            // The attempt reports it.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => return Ok(KnownWebhook::default()),
            Err(error) => return Err(error),
        };
        if self.webhooks.len() >= MAX_CACHED_WEBHOOKS {
            self.webhooks.clear();
        }
        self.webhooks.insert(webhook.clone(), known.clone());
        Ok(known)
    }
}

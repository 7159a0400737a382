//! Dispatcher: leases due deliveries, up to a maximum, and sends them concurrently.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gatepost_domain::id::WebhookId;
use gatepost_runtime::error_chain;
use gatepost_store::{DueWebhooks, Result, StoreErrorKind};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::context::{DelivererContext, sleep_unless_stopped};
use crate::fair_scheduler::Tenant;
use crate::lease::LastRead;
use crate::webhook_leases::{WebhookRound, lease_and_deliver};

/// Maximum number of webhooks per round.
const MAX_WEBHOOKS_PER_ROUND: u32 = 256;
/// Maximum number of webhooks that are cached. Beyond that the cache is cleared.
const MAX_CACHED_WEBHOOKS: usize = 100_000;
/// Interval at which the queues are polled: another deliverer may have made something due.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Deliveries in one lease from which a webhook is busy: when some of them end, it probably has more.
const BUSY_LEASE: usize = 4;
/// Maximum number of busy webhooks. Leases for them do not wait until the queues have been read.
const MAX_BUSY_WEBHOOKS: usize = 4;
/// Maximum time between two looks at the queues while every due webhook is busy. Leases for them do without one.
const BUSY_READ_INTERVAL: Duration = Duration::from_millis(2);
/// Delay before the next round after a failure of the store.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Dispatches deliveries until the deliverer is stopped.
pub(crate) async fn run(context: Arc<DelivererContext>) {
    let mut stopped = context.stopped.clone();
    let mut dispatcher = Dispatcher::new(Arc::clone(&context));
    while !*stopped.borrow() {
        match dispatcher.run_round().await {
            Ok(NextRound::Now) => {}
            Ok(NextRound::After(wait)) => wait_for_work(&context, &mut stopped, wait).await,
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "leasing deliveries failed, retrying in 500 ms");
                sleep_unless_stopped(&mut stopped, PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// Waits until something may be due, a missing slot is free, the time has passed, or the deliverer is stopped.
async fn wait_for_work(context: &DelivererContext, stopped: &mut watch::Receiver<bool>, wait: Duration) {
    tokio::select! {
        () = context.wake.notified() => {}
        () = sleep_unless_stopped(stopped, wait) => {}
    }
}

/// When the next round starts.
enum NextRound {
    Now,
    After(Duration),
}

/// What one round has found.
struct Round {
    /// Webhooks with due deliveries.
    seen: u32,
    /// Those of them that were leased for.
    served: u32,
    /// Time until the next webhook has something due.
    next_in: Option<Duration>,
    /// Times before which the rates of webhooks allow no request.
    paced: Vec<Instant>,
}

/// What the dispatcher knows about a webhook before it reads it.
#[derive(Debug, Clone, Default)]
struct KnownWebhook {
    /// A webhook never changes its tenant.
    tenant: Tenant,
    last_read: LastRead,
    /// Time before which its rate allows no request, as the store said last.
    paced_until: Option<Instant>,
}

impl KnownWebhook {
    /// Returns until when its rate allows no request; `None` if it does now.
    fn pause(&self, now: Instant) -> Option<Instant> {
        self.paced_until.filter(|until| now < *until)
    }
}

/// Returns the lease of a webhook's due deliveries; `None` if its rate or the scheduler allows none now.
fn start_lease<'a>(
    context: &'a Arc<DelivererContext>,
    webhook: &WebhookId,
    known: &KnownWebhook,
) -> Option<impl Future<Output = Result<WebhookRound>> + use<'a>> {
    if known.pause(Instant::now()).is_some() {
        return None;
    }
    let grant = context.scheduler.grant(webhook, &known.tenant, known.last_read.limits.in_flight_cap());
    let is_granted = !grant.slots.is_empty();
    is_granted.then(|| lease_and_deliver(context, webhook.clone(), known.last_read, grant))
}

/// Runs rounds over all due webhooks, so that webhooks without a free slot do not hide the others.
struct Dispatcher {
    context: Arc<DelivererContext>,
    /// Webhooks that had due deliveries.
    webhooks: HashMap<WebhookId, KnownWebhook>,
    /// Those whose last lease had many deliveries.
    busy: Vec<WebhookId>,
    /// When the queues have to be read again. Until then only the busy webhooks are known to have something due.
    next_read: Instant,
    /// Due webhooks that got no slot since the last round that started with the longest overdue one.
    skipped_webhooks: u32,
    /// Whether a webhook may have had more due deliveries than were leased in those rounds.
    has_more: bool,
}

impl Dispatcher {
    fn new(context: Arc<DelivererContext>) -> Self {
        Self {
            context,
            webhooks: HashMap::new(),
            busy: Vec::new(),
            next_read: Instant::now(),
            skipped_webhooks: 0,
            has_more: false,
        }
    }

    async fn run_round(&mut self) -> Result<NextRound> {
        let context = Arc::clone(&self.context);
        if context.scheduler.free_slots() == 0 {
            return Ok(NextRound::After(POLL_INTERVAL));
        }
        let round = self.lease_due(&context).await?;
        if round.seen == MAX_WEBHOOKS_PER_ROUND {
            self.skipped_webhooks += round.seen - round.served;
            return Ok(NextRound::Now);
        }
        self.skipped_webhooks = 0;
        if std::mem::take(&mut self.has_more) {
            return Ok(NextRound::Now);
        }
        let next_pace = round.paced.into_iter().min().map(|until| until.saturating_duration_since(Instant::now()));
        Ok(NextRound::After(round.next_in.into_iter().chain(next_pace).fold(POLL_INTERVAL, Duration::min)))
    }

    /// Leases due deliveries of all webhooks that the scheduler has slots for.
    async fn lease_due(&mut self, context: &Arc<DelivererContext>) -> Result<Round> {
        let busy = std::mem::take(&mut self.busy);
        let known = busy.iter().filter_map(|webhook| Some((webhook, self.webhooks.get(webhook)?)));
        let early: Vec<_> = known.filter_map(|(webhook, known)| start_lease(context, webhook, known)).collect();
        let until_read = self.next_read.saturating_duration_since(Instant::now());
        if !early.is_empty() && !until_read.is_zero() {
            let mut round = Round { seen: 0, served: 0, next_in: Some(until_read), paced: Vec::new() };
            self.remember_all(&mut round, join_all(early).await)?;
            return Ok(round);
        }
        let read_at = Instant::now();
        let due = context.store.due_webhooks(self.skipped_webhooks, MAX_WEBHOOKS_PER_ROUND);
        let (due, early) = tokio::join!(due, join_all(early));
        let DueWebhooks { webhooks, next_in } = due?;
        let seen = u32::try_from(webhooks.len()).unwrap_or(MAX_WEBHOOKS_PER_ROUND);
        let mut round = Round { seen, served: 0, next_in, paced: Vec::new() };
        let mut leases = Vec::new();
        for webhook in &webhooks {
            let known = self.known_webhook(webhook).await?;
            if let Some(until) = known.pause(Instant::now()) {
                round.paced.push(until);
            } else if busy.contains(webhook) {
                round.served += 1;
            } else if let Some(lease) = start_lease(context, webhook, &known) {
                leases.push(lease);
                round.served += 1;
            }
        }
        let leased = join_all(leases).await;
        self.remember_all(&mut round, early.into_iter().chain(leased))?;
        let are_all_busy = webhooks.iter().all(|webhook| self.busy.contains(webhook));
        self.next_read = if are_all_busy { read_at + BUSY_READ_INTERVAL } else { read_at };
        Ok(round)
    }

    fn remember_all(
        &mut self,
        round: &mut Round,
        leased: impl IntoIterator<Item = Result<WebhookRound>>,
    ) -> Result<()> {
        for leased in leased {
            let leased = leased?;
            round.paced.extend(leased.paced_until);
            self.remember(leased);
        }
        Ok(())
    }

    /// Stores what a round has read about a webhook.
    fn remember(&mut self, round: WebhookRound) {
        self.has_more |= round.has_more;
        let Some(known) = self.webhooks.get_mut(&round.webhook) else { return };
        known.last_read = round.read;
        known.paced_until = round.paced_until;
        if round.leased >= BUSY_LEASE && self.busy.len() < MAX_BUSY_WEBHOOKS {
            self.busy.push(round.webhook);
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
                last_read: LastRead::of(&found.record),
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

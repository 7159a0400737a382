//! Trial of the queue of a webhook: fan-out, leases, dead letters, recoveries.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::id::{EventId, LeaseToken, RecoveryId, WebhookId};
use gatepost_domain::partition::Partition;
use gatepost_domain::retry_schedule::Attempt;
use gatepost_domain::time::{Timestamp, Version};

use super::records::expect;
use super::trial::Trial;
use crate::attempt::{AttemptRecord, RecordedOutcome};
use crate::cell_store::CellStore;
use crate::error::Result;
use crate::event::FanOutEvent;
use crate::ops::{DeliveryKind, DeliveryLeaseRequest, Disposition, LeaseStatus, RetentionPolicy, SortOrder};
use crate::queue::{FanOutStep, LeasedDelivery, Settlement};
use crate::random::os_rng;
use crate::recovery_job::{NewRecovery, RecoveredKinds, RecoveryFilter, RecoveryPace};

const LEASE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
const MAX_ITEMS: u64 = 100;

/// Returns a rule that removes all entries of the stream but one.
pub(super) fn retention() -> RetentionPolicy {
    RetentionPolicy {
        max_age: HOUR,
        max_entries: 1,
        max_sealed_secret_age: HOUR,
        max_dead_letter_age: HOUR,
        max_log_age: HOUR,
        oldest_attempt: Timestamp::from_ms(0),
        batch: 100,
    }
}

/// The queue that is tried.
struct Queue<'a> {
    cell: &'a CellStore,
    webhook: &'a WebhookId,
}

pub(super) async fn try_all(trial: &mut Trial, cell: &CellStore, webhook: &WebhookId) {
    let queue = Queue { cell, webhook };
    let delivered = match queue.try_fan_out(trial).await {
        Some(()) => queue.try_first_delivery(trial).await,
        None => None,
    };
    if let Some(event) = delivered {
        queue.try_log(trial, &event).await;
        queue.try_dead_letter(trial, &event).await;
        queue.try_recovery(trial).await;
    }
    queue.try_holds(trial).await;
    while let Some(1..) = trial.note("drop_queue", cell.drop_queue(webhook).await) {}
    trial.note("queue_stats", cell.queue_stats().await);
    trial.note("quarantine", cell.quarantine(Version::MAX, 10).await);
}

impl Queue<'_> {
    async fn try_fan_out(&self, trial: &mut Trial) -> Option<()> {
        let cursor = trial.note("fan_out_cursor", self.cell.fan_out_cursor().await)?;
        let step = trial.note("feed", self.fan_out_step(cursor).await)?;
        trial.note("fan_out", self.cell.fan_out(step).await)?;
        trial.note("due_webhooks", self.cell.due_webhooks(0, 10).await).map(drop)
    }

    /// Returns a step over all entries, each of which becomes a delivery.
    async fn fan_out_step(&self, cursor: Version) -> Result<FanOutStep> {
        let entries = self.cell.audit_feed().read(cursor, 100, Duration::ZERO).await?.entries;
        let events = entries.iter().filter_map(|entry| {
            let (event, content) = (entry.event.clone()?, entry.content.clone().ok()?);
            Some(FanOutEvent { event, version: entry.version, content, webhooks: vec![self.webhook.clone()] })
        });
        Ok(FanOutStep {
            expected_cursor: cursor,
            new_cursor: entries.last().map_or(cursor, |entry| entry.version),
            entry_count: entries.len() as u64,
            events: events.collect(),
            dropped: Vec::new(),
            quarantined: vec![(cursor, Vec::new(), "trial".to_owned())],
            max_pending: MAX_ITEMS,
            max_dead_letters: MAX_ITEMS,
        })
    }

    /// Leases a delivery, extends the lease, and reports a failed attempt. Returns the event.
    async fn try_first_delivery(&self, trial: &mut Trial) -> Option<EventId> {
        let (token, delivery) = self.try_lease(trial).await?;
        let event = delivery.event_id.clone();
        let extended = self.cell.extend_lease(self.webhook, &event, &token, LEASE).await;
        trial.note("extend_lease", extended.and_then(|lease| expect(lease == LeaseStatus::Held, "the lease is lost")));
        self.try_settle(trial, delivery, token, Disposition::Retry(HOUR)).await;
        Some(event)
    }

    async fn try_lease(&self, trial: &mut Trial) -> Option<(LeaseToken, LeasedDelivery)> {
        let token = LeaseToken::generate(&mut os_rng());
        let request = DeliveryLeaseRequest {
            webhook: self.webhook.clone(),
            token: token.clone(),
            max_deliveries: 1,
            in_flight_cap: 10,
            lease_duration: LEASE,
        };
        let leased = trial.note("lease_deliveries", self.cell.lease_deliveries(request).await)?.deliveries;
        trial.note("lease_deliveries", expect(!leased.is_empty(), "no delivery is due"));
        leased.into_iter().next().map(|delivery| (token, delivery))
    }

    async fn try_settle(
        &self,
        trial: &mut Trial,
        delivery: LeasedDelivery,
        token: LeaseToken,
        disposition: Disposition,
    ) {
        let attempt = AttemptRecord {
            event_id: delivery.event_id.clone(),
            number: Attempt::FIRST,
            at: Timestamp::from_ms(1),
            outcome: RecordedOutcome::Failed,
            status: None,
            error: None,
            error_class: None,
            duration: Duration::ZERO,
            response: None,
        };
        let (webhook, delivery) = (self.webhook.clone(), Arc::new(delivery));
        let settlement = Settlement { webhook, delivery, token, disposition, attempt: Some(attempt), hold: None };
        trial.note("settle", self.cell.settle(vec![settlement]).await);
    }

    async fn try_log(&self, trial: &mut Trial, event: &EventId) {
        let (cell, webhook) = (self.cell, self.webhook);
        let order = SortOrder::NewestFirst;
        trial.note(
            "deliveries",
            cell.backend.deliveries(webhook.clone(), DeliveryKind::ALL.to_vec(), order, None, 10).await,
        );
        trial.note("delivery", cell.backend.delivery(webhook.clone(), event.clone()).await);
        trial.note("webhook_numbers", cell.webhook_numbers(webhook).await);
        trial.note("attempts", cell.backend.attempts(webhook.clone(), 10).await);
        trial.note("send_now", cell.send_now(webhook, event).await);
    }

    /// Makes a dead letter of a delivery and sends it again.
    async fn try_dead_letter(&self, trial: &mut Trial, event: &EventId) {
        let (cell, webhook) = (self.cell, self.webhook);
        let moved = cell.move_queue_to_dead_letters(webhook, "trial").await;
        trial.note("move_queue_to_dead_letters", moved.and_then(|moved| expect(moved > 0, "nothing was moved")));
        trial.note("dead_letters", cell.backend.dead_letters(webhook.clone(), None, 10).await);
        trial.note("dead_letter", cell.dead_letter(webhook, event).await);
        trial.note("resend", cell.resend(webhook, event).await);
        if let Some((token, delivery)) = self.try_lease(trial).await {
            self.try_settle(trial, delivery, token, Disposition::Dropped).await;
        }
        trial.note("send_again", cell.backend.send_again(webhook.clone(), vec![(event.clone(), Vec::new())]).await);
    }

    async fn try_recovery(&self, trial: &mut Trial) {
        let (cell, webhook) = (self.cell, self.webhook);
        let filter =
            RecoveryFilter { kinds: RecoveredKinds::All, since: Timestamp::from_ms(0), until: None, topics: None };
        let page = cell.recoverable_page(webhook, &filter, None, 100).await;
        let Some(page) = trial.note("deliveries", page) else { return };
        let id = RecoveryId::generate_in(Partition::default(), &mut os_rng());
        let new = NewRecovery { id: id.clone(), filter, total: page.selected, through: page.last };
        if trial.note("create_recovery", cell.create_recovery(webhook, &new).await).is_none() {
            return;
        }
        let running = trial.note("running_recoveries", cell.running_recoveries(None, 10).await).unwrap_or_default();
        if let Some((_, Ok(running))) = running.into_iter().next() {
            let pace = RecoveryPace { max_open: 1, max_pending: MAX_ITEMS };
            trial.note("run_recovery_step", cell.run_recovery_step(&running, pace).await);
        }
        trial.note("recoveries", cell.recoveries(webhook).await);
        trial.note("cancel_recovery", cell.cancel_recovery(webhook, &id).await);
    }

    async fn try_holds(&self, trial: &mut Trial) {
        let (cell, webhook) = (self.cell, self.webhook);
        trial.note("hold_queue", cell.hold_queue(webhook, LEASE).await);
        trial.note("end_hold", cell.end_hold(webhook).await);
        trial.note("reset_failures", cell.reset_failures(webhook).await);
    }
}

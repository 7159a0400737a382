//! Store operations of the deliverer: fan-out, leases, settling.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::{EventId, LeaseToken, WebhookId};
use gatepost_domain::key::Secret;
use gatepost_domain::record::Webhook;
use gatepost_domain::time::{Timestamp, Version};

use crate::attempt::{AttemptRecord, RecordedOutcome};
use crate::cell_store::CellStore;
use crate::delivery_summary::DeliverySummary;
use crate::envelope::Envelope;
use crate::error::{Result, StoreErrorKind};
use crate::event::{Event, FanOutEvent, decode_event, encode_event};
use crate::ops::{
    CountedOutcome, DeliveryKind, DeliveryLeaseRequest, Disposition, DueWebhooks, FanOutOutcome, LeaseStatus,
    QueueStats, RawFanOut, RawSettlement, SettlementOutcome,
};
use crate::records::{as_webhook, decode_as};

/// One step of the fan-out.
#[derive(Debug, Clone)]
pub struct FanOutStep {
    /// Expected position of the fan-out cursor.
    pub expected_cursor: Version,
    /// New position of the fan-out cursor.
    pub new_cursor: Version,
    /// Number of entries between both.
    pub entry_count: u64,
    /// Events between both.
    pub events: Vec<FanOutEvent>,
    /// Deliveries that are not made, because their webhook was paused when the event happened.
    pub dropped: Vec<DroppedDelivery>,
    /// Entries that could not be decoded: position, bytes, reason.
    pub quarantined: Vec<(Version, Vec<u8>, String)>,
    /// Maximum pending deliveries per webhook; beyond it the oldest becomes a dead letter.
    pub max_pending: u64,
    /// Maximum dead letters per webhook; beyond it the oldest are dropped.
    pub max_dead_letters: u64,
}

/// A delivery that is not made because its webhook was paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedDelivery {
    /// The webhook.
    pub webhook: WebhookId,
    /// Event id.
    pub event: EventId,
    /// Kind of change.
    pub action: Action,
    /// Version of the event's entry in the stream.
    pub version: Version,
}

/// A worker's report about a leased delivery.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// Webhook of the delivery.
    pub webhook: WebhookId,
    /// The delivery.
    pub delivery: Arc<LeasedDelivery>,
    /// Token of the lease.
    pub token: LeaseToken,
    /// What happens to the delivery.
    pub disposition: Disposition,
    /// The attempt that was made; `None` if there was none.
    pub attempt: Option<AttemptRecord>,
    /// Time for which the receiver asked that nothing is sent to the webhook. Such a refusal counts as one failure an
    /// hour.
    pub hold: Option<Duration>,
}

/// A delivery leased by a worker.
#[derive(Debug, Clone)]
pub struct LeasedDelivery {
    /// Event id.
    pub event_id: EventId,
    /// The event, or the error of decoding it.
    pub event: Result<Event>,
    sealed: Option<Vec<u8>>,
    /// Number of previous attempts.
    pub attempts_made: u32,
    /// Creation time of the delivery.
    pub created_at: Timestamp,
}

/// Deliveries leased under one token, and their webhook at that moment.
#[derive(Debug)]
pub struct DeliveryLeases {
    /// The webhook, `None` if it was deleted, or the error of decoding it.
    pub webhook: Result<Option<Webhook>>,
    /// The deliveries.
    pub deliveries: Vec<LeasedDelivery>,
}

impl LeasedDelivery {
    fn summary(&self, kind: DeliveryKind, attempt: Option<&AttemptRecord>) -> DeliverySummary {
        let event = self.event.as_ref().ok();
        DeliverySummary {
            kind,
            action: event.map(|event| event.action),
            version: event.map_or(Version::ZERO, |event| event.version),
            created_at: self.created_at,
            attempts: self.attempts_made + u32::from(attempt.is_some()),
            last_attempt: attempt.cloned(),
        }
    }
}

impl Settlement {
    fn encode(&self, envelope: &Envelope) -> Result<RawSettlement> {
        let attempt = self.attempt.as_ref();
        let counted = attempt.map(|attempt| match attempt.outcome {
            RecordedOutcome::Delivered => CountedOutcome::Delivered,
            RecordedOutcome::Failed | RecordedOutcome::Gone => CountedOutcome::Failed,
        });
        let failed = attempt.filter(|_| counted == Some(CountedOutcome::Failed));
        let summary = match &self.disposition {
            Disposition::Delivered => self.delivery.summary(DeliveryKind::Delivered, attempt).encode(),
            Disposition::DeadLetter(_) => self.delivery.summary(DeliveryKind::Dead, attempt).encode(),
            Disposition::Retry(_) => attempt.map(AttemptRecord::encode).unwrap_or_default(),
            Disposition::Dropped | Disposition::Defer(_) => Vec::new(),
        };
        Ok(RawSettlement {
            webhook: self.webhook.clone(),
            event: self.delivery.event_id.clone(),
            token: self.token.clone(),
            disposition: self.disposition.clone(),
            counted,
            hold: self.hold,
            failed_attempt: failed.map(|attempt| attempt.encode_sealed(&self.webhook, envelope)).transpose()?,
            summary,
        })
    }
}

impl DroppedDelivery {
    fn encode(&self) -> (WebhookId, EventId, Vec<u8>) {
        let summary = DeliverySummary {
            kind: DeliveryKind::Dropped,
            action: Some(self.action),
            version: self.version,
            created_at: self.version.timestamp(),
            attempts: 0,
            last_attempt: None,
        };
        (self.webhook.clone(), self.event.clone(), summary.encode())
    }
}

impl CellStore {
    /// Returns the position of the fan-out cursor.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn fan_out_cursor(&self) -> Result<Version> {
        self.backend.fan_out_cursor().await
    }

    /// Moves the fan-out cursor and creates the deliveries, or does nothing. A retry of an applied step returns
    /// [`FanOutOutcome::Conflict`].
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn fan_out(&self, step: FanOutStep) -> Result<FanOutOutcome> {
        let events = step.events.iter().map(encode_event).collect::<Result<_>>()?;
        let raw = RawFanOut {
            expected_cursor: step.expected_cursor,
            new_cursor: step.new_cursor,
            entry_count: step.entry_count,
            events,
            dropped: step.dropped.iter().map(DroppedDelivery::encode).collect(),
            quarantined: step.quarantined,
            max_pending: step.max_pending,
            max_dead_letters: step.max_dead_letters,
        };
        self.backend.fan_out(raw).await
    }

    /// Returns webhooks with due deliveries: up to `limit`, after the first `skip`.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn due_webhooks(&self, skip: u32, limit: u32) -> Result<DueWebhooks> {
        self.backend.due_webhooks(skip, limit).await
    }

    /// Leases due deliveries of one webhook, and reads the webhook with them. If the reply is lost, they are due again when the lease expires.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn lease_deliveries(&self, request: DeliveryLeaseRequest) -> Result<DeliveryLeases> {
        let id = request.webhook.clone();
        let leases = self.backend.lease_deliveries(request).await?;
        let webhook = leases
            .webhook
            .and_then(|found| found.map(|raw| Ok(decode_as(self, id.as_str(), raw, as_webhook)?.record)).transpose());
        let deliveries = leases
            .deliveries
            .into_iter()
            .map(|leased| LeasedDelivery {
                event: decode_event(&leased.event, &leased.body),
                event_id: leased.event,
                sealed: leased.sealed,
                attempts_made: leased.attempts_made,
                created_at: leased.created_at,
            })
            .collect();
        Ok(DeliveryLeases { webhook, deliveries })
    }

    /// Opens the secret that an event carries. Call it only while the request body is built.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if it does not decrypt for this event.
    pub fn open_secret(&self, leased: &LeasedDelivery) -> Result<Option<Secret>> {
        leased.sealed.clone().map(|sealed| self.envelope.open_event_secret(&leased.event_id, sealed)).transpose()
    }

    /// Extends a lease to `lease_duration` from now.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn extend_lease(
        &self,
        webhook: &WebhookId,
        event: &EventId,
        token: &LeaseToken,
        lease_duration: Duration,
    ) -> Result<LeaseStatus> {
        self.backend.extend_lease(webhook.clone(), event.clone(), token.clone(), lease_duration).await
    }

    /// Finishes, retries or releases deliveries in one operation, each independently. Returns one result per
    /// settlement, in their order. A retry of an applied settlement returns [`LeaseStatus::Lost`].
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn settle<S: Borrow<Settlement>>(&self, settlements: Vec<S>) -> Result<Vec<SettlementOutcome>> {
        let count = settlements.len();
        let settlements = settlements.iter().map(|settlement| settlement.borrow().encode(&self.envelope));
        let outcomes = self.backend.settle(settlements.collect::<Result<_>>()?).await?;
        if outcomes.len() == count {
            Ok(outcomes)
        } else {
            Err(StoreErrorKind::Corrupt.with(format!("{count} settlements got {} results", outcomes.len())))
        }
    }

    /// Sends nothing to a webhook for some time, or for longer if it is already held. Leased deliveries go on.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn hold_queue(&self, webhook: &WebhookId, hold: Duration) -> Result<()> {
        self.backend.hold_queue(webhook.clone(), hold).await
    }

    /// Ends the time for which nothing is sent to a webhook. Its failures stay counted.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn end_hold(&self, webhook: &WebhookId) -> Result<()> {
        self.backend.end_hold(webhook.clone()).await
    }

    /// Forgets the failures of a webhook and for how long nothing is sent to it.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn reset_failures(&self, webhook: &WebhookId) -> Result<()> {
        self.backend.reset_failures(webhook.clone()).await
    }

    /// Moves deliveries of a webhook that wait to its dead letters, at most 1000 per call. Leased ones stay. Returns how
    /// many it moved, 0 at the end.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn move_queue_to_dead_letters(&self, webhook: &WebhookId, reason: &'static str) -> Result<u64> {
        self.backend.move_queue_to_dead_letters(webhook.clone(), reason).await
    }

    /// Removes queue, attempts and dead letters of a removed webhook, at most 1000 deliveries and 1000 dead letters per
    /// call. Returns how many it removed, 0 at the end.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn drop_queue(&self, webhook: &WebhookId) -> Result<u64> {
        self.backend.drop_queue(webhook.clone()).await
    }

    /// Returns up to `limit` entries in quarantine before a position, newest first: position, bytes, reason. The newest
    /// are before [`Version::MAX`].
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn quarantine(&self, before: Version, limit: u32) -> Result<Vec<(Version, Vec<u8>, String)>> {
        self.backend.quarantine(before, limit).await
    }

    /// Returns queue metrics.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn queue_stats(&self) -> Result<QueueStats> {
        self.backend.queue_stats().await
    }
}

//! Store operations of the deliverer: fan-out, leases, settling, dead letters.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::{EventId, LeaseToken, WebhookId};
use gatepost_domain::key::Secret;
use gatepost_domain::record::Record;
use gatepost_domain::time::{Timestamp, Version};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Result, StoreErrorKind};
use crate::ops::{
    DeliveryLeaseRequest, DueWebhooks, FanOutOutcome, LeaseStatus, QueueStats, RawEvent, RawFanOut, RawSettlement,
};
use crate::store::Store;
use crate::stream_entry::{self, AuditEntry, ChangeMetadata};

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
    /// Entries that could not be decoded: position, bytes, reason.
    pub quarantined: Vec<(Version, Vec<u8>, String)>,
    /// Maximum pending deliveries per webhook; beyond it the oldest becomes a dead letter.
    pub max_pending: u64,
    /// Maximum dead letters per webhook; beyond it the oldest are dropped.
    pub max_dead_letters: u64,
}

/// An event and its subscribed webhooks.
#[derive(Debug, Clone)]
pub struct FanOutEvent {
    /// Event id.
    pub event: EventId,
    /// Position of the entry.
    pub version: Version,
    /// Decoded entry.
    pub audit: AuditEntry,
    /// Subscribed webhooks; empty if there are none.
    pub webhooks: Vec<WebhookId>,
}

/// An event as its deliveries need it, independent of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Event id, sent as `webhook-id`.
    pub id: EventId,
    /// Kind of change.
    pub action: Action,
    /// Time of the change, on the store's clock.
    pub at: Timestamp,
    /// Actor and origin.
    pub metadata: ChangeMetadata,
    /// The record after the change, or its last state if it was removed.
    pub record: Record,
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

/// A delivery that was given up.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Event id.
    pub event_id: EventId,
    /// The event, or the error of decoding it.
    pub event: Result<Event>,
    /// Number of attempts.
    pub attempts_made: u32,
    /// Time at which it was given up.
    pub died_at: Timestamp,
    /// Reason.
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
struct StoredEvent<'a> {
    action: String,
    version: u64,
    #[serde(borrow)]
    head: &'a RawValue,
    #[serde(borrow, default)]
    image: Option<&'a RawValue>,
}

impl Store {
    /// Returns the position of the fan-out cursor.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`Store`].
    pub async fn fan_out_cursor(&self) -> Result<Version> {
        self.backend.fan_out_cursor().await
    }

    /// Moves the fan-out cursor and creates the deliveries, or does nothing. A retry of an applied step returns
    /// [`FanOutOutcome::Conflict`].
    ///
    /// # Errors
    ///
    /// Those of a write, see [`Store`].
    pub async fn fan_out(&self, step: FanOutStep) -> Result<FanOutOutcome> {
        let events = step.events.iter().map(encode_event).collect::<Result<_>>()?;
        let raw = RawFanOut {
            expected_cursor: step.expected_cursor,
            new_cursor: step.new_cursor,
            entry_count: step.entry_count,
            events,
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
    /// Those of a read, see [`Store`].
    pub async fn due_webhooks(&self, skip: u32, limit: u32) -> Result<DueWebhooks> {
        self.backend.due_webhooks(skip, limit).await
    }

    /// Leases due deliveries of one webhook. If the reply is lost, they are due again when the lease expires.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`Store`].
    pub async fn lease_deliveries(&self, request: DeliveryLeaseRequest) -> Result<Vec<LeasedDelivery>> {
        let raw = self.backend.lease_deliveries(request).await?;
        Ok(raw
            .into_iter()
            .map(|leased| LeasedDelivery {
                event: decode_event(&leased.event, &leased.body),
                event_id: leased.event,
                sealed: leased.sealed,
                attempts_made: leased.attempts_made,
                created_at: leased.created_at,
            })
            .collect())
    }

    /// Opens the secret that an event carries. Call it only while the request body is built.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if it does not decrypt for this event.
    pub fn open_secret(&self, leased: &LeasedDelivery) -> Result<Option<Secret>> {
        leased.sealed.clone().map(|sealed| self.open_event_secret(&leased.event_id, sealed)).transpose()
    }

    /// Extends a lease to `lease_duration` from now.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`Store`].
    pub async fn extend_lease(
        &self,
        webhook: &WebhookId,
        event: &EventId,
        token: &LeaseToken,
        lease_duration: Duration,
    ) -> Result<LeaseStatus> {
        self.backend.extend_lease(webhook.clone(), event.clone(), token.clone(), lease_duration).await
    }

    /// Finishes, retries or releases deliveries in one operation, each independently. Returns one status per
    /// settlement, in their order. A retry of an applied settlement returns [`LeaseStatus::Lost`].
    ///
    /// # Errors
    ///
    /// Those of a write, see [`Store`].
    pub async fn settle(&self, settlements: Vec<RawSettlement>) -> Result<Vec<LeaseStatus>> {
        let count = settlements.len();
        let statuses = self.backend.settle(settlements).await?;
        if statuses.len() == count {
            Ok(statuses)
        } else {
            Err(StoreErrorKind::Corrupt.with(format!("{count} settlements got {} statuses", statuses.len())))
        }
    }

    /// Returns the latest attempts of a webhook, newest first, each as one line of JSON.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`Store`].
    pub async fn attempts(&self, webhook: &WebhookId, limit: u32) -> Result<Vec<Vec<u8>>> {
        self.backend.attempts(webhook.clone(), limit).await
    }

    /// Returns dead letters of a webhook, oldest first.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`Store`].
    pub async fn dead_letters(&self, webhook: &WebhookId, limit: u32) -> Result<Vec<DeadLetter>> {
        let raw = self.backend.dead_letters(webhook.clone(), limit).await?;
        Ok(raw
            .into_iter()
            .map(|dead| DeadLetter {
                event: decode_event(&dead.event, &dead.body),
                event_id: dead.event,
                attempts_made: dead.attempts_made,
                died_at: dead.died_at,
                reason: dead.reason,
            })
            .collect())
    }

    /// Moves a dead letter back into its queue with a fresh schedule. Returns [`LeaseStatus::Lost`] if there is none.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`Store`].
    pub async fn resend(&self, webhook: &WebhookId, event: &EventId) -> Result<LeaseStatus> {
        self.backend.resend(webhook.clone(), event.clone()).await
    }

    /// Removes queue, attempts and dead letters of a removed webhook, at most 1000 deliveries and 1000 dead letters per
    /// call. Returns how many it removed, 0 at the end.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`Store`].
    pub async fn drop_queue(&self, webhook: &WebhookId) -> Result<u64> {
        self.backend.drop_queue(webhook.clone()).await
    }

    /// Returns entries in quarantine: position, bytes, reason.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`Store`].
    pub async fn quarantine(&self, limit: u32) -> Result<Vec<(Version, Vec<u8>, String)>> {
        self.backend.quarantine(limit).await
    }

    /// Returns queue metrics.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`Store`].
    pub async fn queue_stats(&self) -> Result<QueueStats> {
        self.backend.queue_stats().await
    }
}

fn encode_event(event: &FanOutEvent) -> Result<RawEvent> {
    let corrupt = |error| StoreErrorKind::Corrupt.with(error);
    let line = |bytes: &'_ [u8]| -> Result<Option<Box<RawValue>>> {
        if bytes.is_empty() { Ok(None) } else { serde_json::from_slice(bytes).map(Some).map_err(corrupt) }
    };
    let metadata = line(&event.audit.metadata_line)?;
    let metadata = metadata.ok_or_else(|| StoreErrorKind::Corrupt.with("an entry has no metadata"))?;
    let image = line(&event.audit.image_line)?;
    let stored = StoredEvent {
        action: event.audit.action.as_str().to_owned(),
        version: event.version.as_u64(),
        head: &metadata,
        image: image.as_deref(),
    };
    let body = serde_json::to_vec(&stored).map_err(corrupt)?;
    Ok(RawEvent { event: event.event.clone(), body, webhooks: event.webhooks.clone() })
}

fn decode_event(id: &EventId, body: &[u8]) -> Result<Event> {
    let stored: StoredEvent<'_> = serde_json::from_slice(body).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    let (metadata, old) = stream_entry::decode_metadata(stored.head.get().as_bytes())?;
    let new =
        stored.image.map(|image| stream_entry::decode_image(&metadata.subject, image.get().as_bytes())).transpose()?;
    let record =
        new.flatten().or(old).ok_or_else(|| StoreErrorKind::Corrupt.with(format!("event {id} has no image")))?;
    let action = Action::parse(&stored.action).ok_or_else(|| {
        StoreErrorKind::Corrupt.with(format!("event {id} has the unknown action {:?}", stored.action))
    })?;
    Ok(Event { id: id.clone(), action, at: Version::from_u64(stored.version).timestamp(), metadata, record })
}

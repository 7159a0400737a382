//! What the deliverer does: fan out, lease, settle, and look after dead letters.

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
    /// Where the cursor must be.
    pub expected_cursor: Version,
    /// Where it goes.
    pub new_cursor: Version,
    /// How many entries lie in between.
    pub entry_count: u64,
    /// The events among them.
    pub events: Vec<FanOutEvent>,
    /// Entries that could not be decoded: position, bytes, reason.
    pub quarantined: Vec<(Version, Vec<u8>, String)>,
    /// Pending deliveries that a webhook may have.
    pub max_pending: u64,
    /// Dead letters that a webhook may have.
    pub max_dead_letters: u64,
}

/// One event and the webhooks that asked for it.
#[derive(Debug, Clone)]
pub struct FanOutEvent {
    /// The event's id.
    pub event: EventId,
    /// Its position.
    pub version: Version,
    /// What the entry tells.
    pub audit: AuditEntry,
    /// Who gets it; empty if nobody does.
    pub webhooks: Vec<WebhookId>,
}

/// An event as its deliveries need it, independent of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id: `webhook-id`.
    pub id: EventId,
    /// What happened.
    pub action: Action,
    /// When, on the store's clock.
    pub at: Timestamp,
    /// Who and where.
    pub metadata: ChangeMetadata,
    /// The record after the change, or as it was when it was removed.
    pub record: Record,
}

/// A delivery in a worker's hands.
#[derive(Debug, Clone)]
pub struct LeasedDelivery {
    /// The event's id.
    pub event_id: EventId,
    /// The event, or why it cannot be read.
    pub event: std::result::Result<Event, String>,
    sealed: Option<Vec<u8>>,
    /// How many attempts were made before.
    pub attempts_made: u32,
    /// When the delivery was made.
    pub created_at: Timestamp,
}

/// A delivery whose schedule has ended.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The event's id.
    pub event_id: EventId,
    /// The event, or why it cannot be read.
    pub event: std::result::Result<Event, String>,
    /// How many attempts were made.
    pub attempts_made: u32,
    /// When it was given up.
    pub died_at: Timestamp,
    /// Why.
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
    /// Where the fan-out stands.
    pub async fn fan_out_cursor(&self) -> Result<Version> {
        self.backend.fan_out_cursor().await
    }

    /// Moves the fan-out cursor and makes the deliveries, or nothing.
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

    /// Which queues have something due: up to `limit` after the first `skip`.
    pub async fn due_webhooks(&self, skip: u32, limit: u32) -> Result<DueWebhooks> {
        self.backend.due_webhooks(skip, limit).await
    }

    /// Takes due deliveries of one webhook into a worker's hands.
    pub async fn lease_deliveries(&self, request: DeliveryLeaseRequest) -> Result<Vec<LeasedDelivery>> {
        let raw = self.backend.lease_deliveries(request).await?;
        Ok(raw
            .into_iter()
            .map(|leased| LeasedDelivery {
                event: decode_event(&leased.event, &leased.body).map_err(|error| error.to_string()),
                event_id: leased.event,
                sealed: leased.sealed,
                attempts_made: leased.attempts_made,
                created_at: leased.created_at,
            })
            .collect())
    }

    /// The plaintext that an event carries, opened only while its body is built.
    pub fn open_secret(&self, leased: &LeasedDelivery) -> Result<Option<Secret>> {
        leased.sealed.clone().map(|sealed| self.open_event_secret(&leased.event_id, sealed)).transpose()
    }

    /// Prolongs a lease.
    pub async fn extend_lease(
        &self,
        webhook: &WebhookId,
        event: &EventId,
        token: &LeaseToken,
        lease_duration: Duration,
    ) -> Result<LeaseStatus> {
        self.backend.extend_lease(webhook.clone(), event.clone(), token.clone(), lease_duration).await
    }

    /// Ends deliveries or gives them back, each for itself, in one act.
    pub async fn settle(&self, settlements: Vec<RawSettlement>) -> Result<Vec<LeaseStatus>> {
        let count = settlements.len();
        let statuses = self.backend.settle(settlements).await?;
        if statuses.len() == count {
            Ok(statuses)
        } else {
            Err(StoreErrorKind::Corrupt.with(format!("{count} settlements have {} answers", statuses.len())))
        }
    }

    /// The latest attempts of a webhook, newest first, each one line of JSON.
    pub async fn attempts(&self, webhook: &WebhookId, limit: u32) -> Result<Vec<Vec<u8>>> {
        self.backend.attempts(webhook.clone(), limit).await
    }

    /// Dead letters of a webhook, oldest first.
    pub async fn dead_letters(&self, webhook: &WebhookId, limit: u32) -> Result<Vec<DeadLetter>> {
        let raw = self.backend.dead_letters(webhook.clone(), limit).await?;
        Ok(raw
            .into_iter()
            .map(|dead| DeadLetter {
                event: decode_event(&dead.event, &dead.body).map_err(|error| error.to_string()),
                event_id: dead.event,
                attempts_made: dead.attempts_made,
                died_at: dead.died_at,
                reason: dead.reason,
            })
            .collect())
    }

    /// Puts a dead letter back into its queue with a fresh schedule.
    pub async fn resend(&self, webhook: &WebhookId, event: &EventId) -> Result<LeaseStatus> {
        self.backend.resend(webhook.clone(), event.clone()).await
    }

    /// Removes what a removed webhook left, a bounded part per call; answers how much it removed, 0 at the end.
    pub async fn drop_queue(&self, webhook: &WebhookId) -> Result<u64> {
        self.backend.drop_queue(webhook.clone()).await
    }

    /// Entries in quarantine: position, bytes, reason.
    pub async fn quarantine(&self, limit: u32) -> Result<Vec<(Version, Vec<u8>, String)>> {
        self.backend.quarantine(limit).await
    }

    /// Numbers about the queues.
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
    let metadata = metadata.ok_or_else(|| StoreErrorKind::Corrupt.with("an entry without a head"))?;
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
    let action = Action::parse(&stored.action)
        .ok_or_else(|| StoreErrorKind::Corrupt.with(format!("event {id} has the action {:?}", stored.action)))?;
    Ok(Event { id: id.clone(), action, at: Version::from_u64(stored.version).timestamp(), metadata, record })
}

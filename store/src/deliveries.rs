//! Deliveries of a webhook as lists show them: waiting, being sent, delivered, dropped and dead.

use gatepost_domain::change::Action;
use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::time::{Timestamp, Version};

use crate::attempt::AttemptRecord;
use crate::cell_store::CellStore;
use crate::delivery_summary::DeliverySummary;
use crate::error::Result;
use crate::event::{Event, decode_event, encode_content, event_head};
use crate::ops::{DeliveryKind, RawDelivery, RawDeliveryContent, SendNowOutcome, SortOrder, WebhookNumbers};
use crate::records::MAX_PAGE;

/// A delivery: one event for one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Event id.
    pub event_id: EventId,
    /// Which list it is in.
    pub kind: DeliveryKind,
    /// Kind of change; `None` if it cannot be read.
    pub action: Option<Action>,
    /// Number of attempts.
    pub attempts: u32,
    /// The last attempt, if there was one and it is known.
    pub last_attempt: Option<AttemptRecord>,
    /// Creation time; of dead letters of early versions the time of death.
    pub created_at: Timestamp,
    /// Whether it is being sent.
    pub is_in_flight: bool,
    /// Time of the next attempt of a delivery that waits.
    pub next_attempt_at: Option<Timestamp>,
    /// Why it was given up.
    pub reason: Option<String>,
    /// Version of the event's entry in the stream; `None` if it is not known.
    pub event_version: Option<Version>,
    position: DeliveryPosition,
}

/// Position in the list of a webhook's deliveries. It prints a number, which is parsed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryPosition(i64);

impl DeliveryPosition {
    pub(crate) fn of_sequence(sequence: i64) -> Self {
        Self(sequence)
    }

    pub(crate) fn sequence(self) -> i64 {
        self.0
    }
}

/// Error for a text that is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position in a list of deliveries")]
pub struct ParseDeliveryPositionError;

impl std::fmt::Display for DeliveryPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for DeliveryPosition {
    type Err = ParseDeliveryPositionError;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| ParseDeliveryPositionError)
    }
}

impl Delivery {
    /// Returns its position, after which the list continues.
    pub fn position(&self) -> DeliveryPosition {
        self.position
    }

    /// Returns whether it has failed and waits for its next attempt.
    pub(crate) fn has_failed(&self) -> bool {
        self.kind == DeliveryKind::Waiting && !self.is_in_flight && self.attempts > 0
    }

    pub(crate) fn decode(raw: RawDelivery) -> Result<Self> {
        let RawDelivery { event, sequence, content } = raw;
        let position = DeliveryPosition(sequence);
        let delivery = match content {
            RawDeliveryContent::Waiting { attempts_made, leased_until, created_at, due_at, body, last_attempt } => {
                let (action, version) = event_head(&body).unwrap_or((None, Version::ZERO));
                Self {
                    kind: DeliveryKind::Waiting,
                    action,
                    attempts: attempts_made,
                    last_attempt: last_attempt.map(|line| AttemptRecord::decode(&line)).transpose()?,
                    created_at,
                    is_in_flight: leased_until.is_some(),
                    next_attempt_at: leased_until.is_none().then_some(due_at),
                    reason: None,
                    event_version: known(version),
                    event_id: event,
                    position,
                }
            }
            RawDeliveryContent::Ended { kind: _, summary } => {
                Self::ended(event, DeliverySummary::decode(&summary)?, position)
            }
            RawDeliveryContent::Dead { summary: Some(summary), letter } => {
                let ended = Self::ended(event, DeliverySummary::decode(&summary)?, position);
                Self { reason: Some(letter.reason), ..ended }
            }
            RawDeliveryContent::Dead { summary: None, letter } => {
                let (action, version) = event_head(&letter.body).unwrap_or((None, Version::ZERO));
                Self {
                    kind: DeliveryKind::Dead,
                    action,
                    attempts: letter.attempts_made,
                    last_attempt: None,
                    created_at: letter.died_at,
                    is_in_flight: false,
                    next_attempt_at: None,
                    reason: Some(letter.reason),
                    event_version: known(version),
                    event_id: event,
                    position,
                }
            }
        };
        Ok(delivery)
    }

    fn ended(event_id: EventId, summary: DeliverySummary, position: DeliveryPosition) -> Self {
        Self {
            event_id,
            kind: summary.kind,
            action: summary.action,
            attempts: summary.attempts,
            last_attempt: summary.last_attempt,
            created_at: summary.created_at,
            is_in_flight: false,
            next_attempt_at: None,
            reason: None,
            event_version: known(summary.version),
            position,
        }
    }
}

fn known(version: Version) -> Option<Version> {
    (version != Version::ZERO).then_some(version)
}

impl CellStore {
    /// Lists deliveries of a webhook, newest first, of some kinds, after a position or from the newest. `limit` is
    /// clamped to 1 to [`MAX_PAGE`]. Fewer may be returned although there are more.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`]: on Redis, dead letters of early versions get their places.
    pub async fn deliveries(
        &self,
        webhook: &WebhookId,
        kinds: &[DeliveryKind],
        after: Option<DeliveryPosition>,
        limit: u32,
    ) -> Result<Vec<Delivery>> {
        let after = after.map(DeliveryPosition::sequence);
        let limit = limit.clamp(1, MAX_PAGE);
        let order = SortOrder::NewestFirst;
        let raw = self.backend.deliveries(webhook.clone(), kinds.to_vec(), order, after, limit).await?;
        raw.into_iter().map(Delivery::decode).collect()
    }

    /// Returns the delivery of an event, or `None` if nothing is known of one.
    ///
    /// # Errors
    ///
    /// Those of [`CellStore::deliveries`].
    pub async fn delivery(&self, webhook: &WebhookId, event: &EventId) -> Result<Option<Delivery>> {
        self.backend.delivery(webhook.clone(), event.clone()).await?.map(Delivery::decode).transpose()
    }

    /// Returns the numbers of a webhook, without reading its deliveries.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn webhook_numbers(&self, webhook: &WebhookId) -> Result<WebhookNumbers> {
        self.backend.webhook_numbers(webhook.clone()).await
    }

    /// Returns an event as the stream has it, or `None` if its entry is no longer there or has another id.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn event(&self, id: &EventId, version: Version) -> Result<Option<Event>> {
        self.event_body(id, version).await?.map(|body| decode_event(id, &body)).transpose()
    }

    /// Makes a waiting delivery due at once.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn send_now(&self, webhook: &WebhookId, event: &EventId) -> Result<SendNowOutcome> {
        self.backend.send_now(webhook.clone(), event.clone()).await
    }

    /// Creates a delivery of an event that the stream still has, without a secret. Returns whether it did: not if the
    /// event is gone, waits already, or is a dead letter.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn send_again(&self, webhook: &WebhookId, event: &EventId, version: Version) -> Result<bool> {
        let Some(body) = self.event_body(event, version).await? else { return Ok(false) };
        Ok(self.backend.send_again(webhook.clone(), vec![(event.clone(), body)]).await? > 0)
    }

    /// Returns the body of an event's deliveries from the stream, or `None` if its entry is no longer there.
    pub(crate) async fn event_body(&self, id: &EventId, version: Version) -> Result<Option<Vec<u8>>> {
        let Some(before) = version.as_u64().checked_sub(1) else { return Ok(None) };
        let batch = self.audit_feed().read(Version::from_u64(before), 1, std::time::Duration::ZERO).await?;
        let Some(entry) = batch.entries.into_iter().next() else { return Ok(None) };
        match (entry.event, entry.content) {
            (Some(event), Ok(content)) if event == *id && entry.version == version => {
                encode_content(&content, version).map(Some)
            }
            _ => Ok(None),
        }
    }
}

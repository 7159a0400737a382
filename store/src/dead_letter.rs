//! Dead letters: deliveries that were given up, per webhook.

use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::time::Timestamp;

use crate::cell_store::CellStore;
use crate::error::Result;
use crate::event::{Event, decode_event};
use crate::ops::{DeadLetterPosition, LeaseStatus, RawDeadLetter};

/// A delivery that was given up.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Id of the event that was not delivered.
    pub event_id: EventId,
    /// The event, or the error of decoding it.
    pub event: Result<Event>,
    /// Number of attempts that were made; 0 if there was none.
    pub attempts_made: u32,
    /// Time at which it was given up.
    pub died_at: Timestamp,
    /// Why it is not retried, for people.
    pub reason: String,
}

impl DeadLetter {
    /// Returns its position, after which the list continues.
    pub fn position(&self) -> DeadLetterPosition {
        DeadLetterPosition { died_at: self.died_at, event: self.event_id.clone() }
    }
}

impl From<RawDeadLetter> for DeadLetter {
    fn from(raw: RawDeadLetter) -> Self {
        Self {
            event: decode_event(&raw.event, &raw.body),
            event_id: raw.event,
            attempts_made: raw.attempts_made,
            died_at: raw.died_at,
            reason: raw.reason,
        }
    }
}

impl CellStore {
    /// Returns up to `limit` dead letters of a webhook, oldest first, after a position or from the start. The position
    /// stays valid when its letter is gone.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn dead_letters(
        &self,
        webhook: &WebhookId,
        after: Option<DeadLetterPosition>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>> {
        let raw = self.backend.dead_letters(webhook.clone(), after, limit).await?;
        Ok(raw.into_iter().map(DeadLetter::from).collect())
    }

    /// Returns the dead letter of an event, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn dead_letter(&self, webhook: &WebhookId, event: &EventId) -> Result<Option<DeadLetter>> {
        Ok(self.backend.dead_letter(webhook.clone(), event.clone()).await?.map(DeadLetter::from))
    }

    /// Moves a dead letter back into its queue with a fresh schedule. Returns [`LeaseStatus::Lost`] if there is none.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn resend(&self, webhook: &WebhookId, event: &EventId) -> Result<LeaseStatus> {
        self.backend.resend(webhook.clone(), event.clone()).await
    }
}

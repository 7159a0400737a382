//! Attempts: the outcomes of the HTTP requests of a webhook's deliveries, without bodies, headers or secrets.

use std::time::Duration;

use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::retry_schedule::{Attempt, AttemptOutcome};
use gatepost_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cell_store::CellStore;
use crate::error::{Result, StoreErrorKind};
use crate::ops::MAX_STORED_ATTEMPTS;

/// One attempt of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Event id.
    pub event_id: EventId,
    /// Number in the delivery's schedule, from 1. A delivery that is resent counts from 1 again.
    pub number: Attempt,
    /// Time at which the attempt started.
    pub at: Timestamp,
    /// Outcome.
    pub outcome: RecordedOutcome,
    /// Status of the response. `None` if there was none.
    pub status: Option<u16>,
    /// What failed. `None` if the event was delivered.
    pub error: Option<String>,
    /// Duration, in whole milliseconds.
    pub duration: Duration,
}

/// Outcome of a stored attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedOutcome {
    /// The receiver responded with 2xx.
    Delivered,
    /// Another response, or none before the timeout.
    Failed,
    /// The receiver responded with 410.
    Gone,
}

impl RecordedOutcome {
    const ALL: [Self; 3] = [RecordedOutcome::Delivered, RecordedOutcome::Failed, RecordedOutcome::Gone];

    /// Returns the name under which it is stored and counted.
    pub fn as_str(self) -> &'static str {
        match self {
            RecordedOutcome::Delivered => "delivered",
            RecordedOutcome::Failed => "failed",
            RecordedOutcome::Gone => "gone",
        }
    }
}

impl From<AttemptOutcome> for RecordedOutcome {
    fn from(outcome: AttemptOutcome) -> Self {
        match outcome {
            AttemptOutcome::Delivered => RecordedOutcome::Delivered,
            AttemptOutcome::Failed { .. } => RecordedOutcome::Failed,
            AttemptOutcome::Gone => RecordedOutcome::Gone,
        }
    }
}

/// Attempts of a webhook as a page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptPage {
    /// Attempts, newest first.
    pub attempts: Vec<AttemptRecord>,
    /// Stored attempts of this page that this version of the program cannot decode.
    pub undecodable: usize,
    /// Position after the page; `None` at the end.
    pub next: Option<AttemptPosition>,
}

/// Position in the list of a webhook's attempts: the attempt before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptPosition {
    /// Event id.
    pub event_id: EventId,
    /// Time at which the attempt started.
    pub at: Timestamp,
}

/// The stored shape: one line of JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredAttempt {
    event_id: String,
    number: u32,
    at: String,
    outcome: String,
    status: Option<u16>,
    error: Option<String>,
    duration_ms: u64,
}

impl AttemptRecord {
    /// Encodes the attempt as one line of JSON.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let stored = StoredAttempt {
            event_id: self.event_id.as_str().to_owned(),
            number: self.number.number(),
            at: self.at.to_string(),
            outcome: self.outcome.as_str().to_owned(),
            status: self.status,
            error: self.error.clone(),
            duration_ms: u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
        };
        serde_json::to_vec(&stored).expect("a struct with text keys is JSON")
    }

    /// Decodes a line of JSON.
    pub(crate) fn decode(line: &[u8]) -> Result<Self> {
        let stored: StoredAttempt =
            serde_json::from_slice(line).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        let number = Attempt::new(stored.number);
        let outcome = RecordedOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == stored.outcome);
        Ok(Self {
            event_id: EventId::parse(&stored.event_id).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
            number: number.ok_or_else(|| StoreErrorKind::Corrupt.with("an attempt has the number 0"))?,
            at: Timestamp::parse(&stored.at).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
            outcome: outcome.ok_or_else(|| {
                StoreErrorKind::Corrupt.with(format!("an attempt has the unknown outcome {:?}", stored.outcome))
            })?,
            status: stored.status,
            error: stored.error,
            duration: Duration::from_millis(stored.duration_ms),
        })
    }

    /// Returns its position, after which the list continues.
    pub fn position(&self) -> AttemptPosition {
        AttemptPosition { event_id: self.event_id.clone(), at: self.at }
    }

    fn is_at(&self, position: &AttemptPosition) -> bool {
        self.event_id == position.event_id && self.at == position.at
    }
}

impl CellStore {
    /// Returns up to `limit` attempts of a webhook, newest first, after a position or from the newest. If the attempt at
    /// the position is no longer stored, the list ends there. Reads all that are stored of the webhook: at most
    /// 1,000.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn attempts(
        &self,
        webhook: &WebhookId,
        after: Option<&AttemptPosition>,
        limit: usize,
    ) -> Result<AttemptPage> {
        let mut attempts = self.decode_attempts(webhook).await?.into_iter();
        if let Some(position) = after {
            attempts.by_ref().find(|attempt| attempt.as_ref().is_ok_and(|attempt| attempt.is_at(position)));
        }
        Ok(page(attempts, limit))
    }

    /// Returns the attempts of one delivery, newest first. Reads all that are stored of the webhook: at most 1,000.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn attempts_of(&self, webhook: &WebhookId, event: &EventId) -> Result<Vec<AttemptRecord>> {
        let attempts = self.decode_attempts(webhook).await?;
        Ok(attempts.into_iter().flatten().filter(|attempt| attempt.event_id == *event).collect())
    }

    async fn decode_attempts(&self, webhook: &WebhookId) -> Result<Vec<Result<AttemptRecord>>> {
        let limit = u32::try_from(MAX_STORED_ATTEMPTS).unwrap_or(u32::MAX);
        let lines = self.backend.attempts(webhook.clone(), limit).await?;
        Ok(lines.iter().map(|line| AttemptRecord::decode(line)).collect())
    }
}

/// Takes one page from the attempts that are left. An undecodable attempt has no position, so a page ends with one that
/// has.
fn page(remaining: impl Iterator<Item = Result<AttemptRecord>>, limit: usize) -> AttemptPage {
    let mut page = AttemptPage { attempts: Vec::new(), undecodable: 0, next: None };
    for attempt in remaining {
        if page.attempts.len() == limit {
            page.next = page.attempts.last().map(AttemptRecord::position);
            break;
        }
        match attempt {
            Ok(attempt) => page.attempts.push(attempt),
            Err(_) => page.undecodable += 1,
        }
    }
    page
}

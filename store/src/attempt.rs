//! Failed attempts: the outcomes of HTTP requests of a webhook's deliveries, with what is kept of the responses.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::record::Sealed;
use gatepost_domain::retry_schedule::{Attempt, AttemptOutcome};
use gatepost_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cell_store::CellStore;
use crate::envelope::Envelope;
use crate::error::{Result, StoreErrorKind};
use crate::ops::MAX_STORED_ATTEMPTS;
use crate::random::os_rng;

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
    /// Class of the error, as the API names it.
    pub error_class: Option<String>,
    /// Duration, in whole milliseconds.
    pub duration: Duration,
    /// What is kept of the response to a failed attempt.
    pub response: Option<AttemptResponse>,
}

/// What is kept of the response to a failed attempt, without secrets. It is sealed where it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptResponse {
    /// Some headers, by name in lower case.
    pub headers: Vec<(String, String)>,
    /// The start of the body, if it is text.
    pub excerpt: Option<String>,
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
pub(crate) struct StoredAttempt {
    event_id: String,
    number: u32,
    at: String,
    outcome: String,
    status: Option<u16>,
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_class: Option<String>,
    duration_ms: u64,
    /// Base64 of the sealed response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response: Option<String>,
}

impl StoredAttempt {
    /// Returns the stored shape of an attempt, without its response.
    pub(crate) fn without_response(attempt: &AttemptRecord) -> Self {
        Self {
            event_id: attempt.event_id.as_str().to_owned(),
            number: attempt.number.number(),
            at: attempt.at.to_string(),
            outcome: attempt.outcome.as_str().to_owned(),
            status: attempt.status,
            error: attempt.error.clone(),
            error_class: attempt.error_class.clone(),
            duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
            response: None,
        }
    }

    /// Decodes the attempt, without its response.
    pub(crate) fn decode(self) -> Result<AttemptRecord> {
        let number = Attempt::new(self.number);
        let outcome = RecordedOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == self.outcome);
        Ok(AttemptRecord {
            event_id: EventId::parse(&self.event_id).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
            number: number.ok_or_else(|| StoreErrorKind::Corrupt.with("an attempt has the number 0"))?,
            at: Timestamp::parse(&self.at).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
            outcome: outcome.ok_or_else(|| {
                StoreErrorKind::Corrupt.with(format!("an attempt has the unknown outcome {:?}", self.outcome))
            })?,
            status: self.status,
            error: self.error,
            error_class: self.error_class,
            duration: Duration::from_millis(self.duration_ms),
            response: None,
        })
    }
}

impl AttemptRecord {
    /// Encodes the attempt without its response as one line of JSON.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&StoredAttempt::without_response(self)).expect("a struct with text keys is JSON")
    }

    /// Encodes the attempt with its response as one line of JSON.
    pub(crate) fn encode_sealed(&self, webhook: &WebhookId, envelope: &Envelope) -> Result<Vec<u8>> {
        let mut stored = StoredAttempt::without_response(self);
        if let Some(response) = &self.response {
            let text =
                Zeroizing::new(serde_json::to_vec(response).map_err(|error| StoreErrorKind::Corrupt.with(error))?);
            let sealed = envelope.seal(&response_aad(webhook, &self.event_id), &text, &mut os_rng())?;
            stored.response = Some(STANDARD.encode(sealed.0));
        }
        serde_json::to_vec(&stored).map_err(|error| StoreErrorKind::Corrupt.with(error))
    }

    /// Decodes a line of JSON, without the response.
    pub(crate) fn decode(line: &[u8]) -> Result<Self> {
        let stored: StoredAttempt =
            serde_json::from_slice(line).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        stored.decode()
    }

    /// Decodes a line of JSON with the response.
    fn decode_sealed(line: &[u8], webhook: &WebhookId, envelope: &Envelope) -> Result<Self> {
        let mut stored: StoredAttempt =
            serde_json::from_slice(line).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        let response = stored.response.take();
        let mut attempt = stored.decode()?;
        if let Some(text) = response {
            let sealed = Sealed(STANDARD.decode(text).map_err(|error| StoreErrorKind::Corrupt.with(error))?);
            let opened = envelope.unseal(&response_aad(webhook, &attempt.event_id), &sealed)?;
            let response = serde_json::from_slice(&opened).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
            attempt.response = Some(response);
        }
        Ok(attempt)
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
    /// Returns up to `limit` failed attempts of a webhook, newest first, after a position or from the newest. If the attempt at
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

    /// Returns the failed attempts of one delivery, newest first. Reads all that are stored of the webhook: at most 1,000.
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
        let decode = |line: &Vec<u8>| AttemptRecord::decode_sealed(line, webhook, &self.envelope);
        Ok(lines.iter().map(decode).collect())
    }
}

/// Associated data that binds a response to its delivery.
fn response_aad(webhook: &WebhookId, event: &EventId) -> String {
    format!("{webhook}/response/{event}")
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

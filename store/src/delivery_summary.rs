//! Summaries of deliveries that ended: one line of JSON, which the log of a webhook keeps without the event's body.

use gatepost_domain::change::Action;
use gatepost_domain::time::{Timestamp, Version};
use serde::{Deserialize, Serialize};

use crate::attempt::{AttemptRecord, StoredAttempt};
use crate::error::{Result, StoreErrorKind};
use crate::event::event_head;
use crate::ops::DeliveryKind;

/// What is known of a delivery after its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliverySummary {
    /// How it ended.
    pub kind: DeliveryKind,
    /// Kind of change; `None` if this version of the program does not know it.
    pub action: Option<Action>,
    /// Version of the event's entry in the stream; zero if it is not known.
    pub version: Version,
    /// Creation time.
    pub created_at: Timestamp,
    /// Number of attempts.
    pub attempts: u32,
    /// The last attempt, if there was one.
    pub last_attempt: Option<AttemptRecord>,
}

/// The stored shape. `summary_without_report` in `queue.lua` writes it too.
#[derive(Serialize, Deserialize)]
struct StoredSummary {
    outcome: String,
    #[serde(rename = "type")]
    action: String,
    version: u64,
    created: u64,
    attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<StoredAttempt>,
}

impl DeliverySummary {
    /// Encodes the summary as one line of JSON.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let stored = StoredSummary {
            outcome: self.kind.as_str().to_owned(),
            action: self.action.map(Action::as_str).unwrap_or_default().to_owned(),
            version: self.version.as_u64(),
            created: self.created_at.as_ms(),
            attempts: self.attempts,
            last: self.last_attempt.as_ref().map(StoredAttempt::without_response),
        };
        serde_json::to_vec(&stored).expect("a struct with text keys is JSON")
    }

    /// Decodes a line of JSON.
    pub(crate) fn decode(line: &[u8]) -> Result<Self> {
        let stored: StoredSummary =
            serde_json::from_slice(line).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        let kind = DeliveryKind::ALL.into_iter().find(|kind| kind.as_str() == stored.outcome);
        Ok(Self {
            kind: kind.ok_or_else(|| {
                StoreErrorKind::Corrupt.with(format!("a delivery has the unknown outcome {:?}", stored.outcome))
            })?,
            action: Action::parse(&stored.action),
            version: Version::from_u64(stored.version),
            created_at: Timestamp::from_ms(stored.created),
            attempts: stored.attempts,
            last_attempt: stored.last.map(StoredAttempt::decode).transpose()?,
        })
    }

    /// Encodes the summary of a delivery that ends without a worker's report. `body` is that of its event.
    pub(crate) fn without_report(
        body: &[u8],
        attempts: u32,
        created_at: Timestamp,
        last_attempt: Option<&[u8]>,
    ) -> Vec<u8> {
        let (action, version) = event_head(body).unwrap_or((None, Version::ZERO));
        let last_attempt = last_attempt.and_then(|line| AttemptRecord::decode(line).ok());
        Self { kind: DeliveryKind::Dead, action, version, created_at, attempts, last_attempt }.encode()
    }

    /// Adds the last attempt of a delivery that waited to its encoded summary, which has none.
    pub(crate) fn with_last_attempt(summary: &[u8], last_attempt: Option<&[u8]>) -> Vec<u8> {
        let last_attempt = last_attempt.and_then(|line| AttemptRecord::decode(line).ok());
        match (Self::decode(summary), last_attempt) {
            (Ok(summary), Some(last_attempt)) => Self { last_attempt: Some(last_attempt), ..summary }.encode(),
            (Ok(_) | Err(_), _) => summary.to_vec(),
        }
    }
}

//! Operations on recoveries: jobs that send dead and dropped deliveries of a webhook again.

use gatepost_domain::id::{EventId, RecoveryId, WebhookId};
use gatepost_domain::time::Timestamp;

/// Recoveries that are stored per webhook; beyond this number those that ended first are removed.
pub const MAX_RECOVERIES: u64 = 10;

/// State of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecoveryStatus {
    /// There may be deliveries left.
    Running,
    /// All deliveries are handled.
    Finished,
    /// Somebody ended it before that.
    Cancelled,
}

impl RecoveryStatus {
    /// All states.
    pub const ALL: [Self; 3] = [RecoveryStatus::Running, RecoveryStatus::Finished, RecoveryStatus::Cancelled];

    /// Returns the name used in the API and in stored recoveries.
    pub fn as_str(self) -> &'static str {
        match self {
            RecoveryStatus::Running => "running",
            RecoveryStatus::Finished => "finished",
            RecoveryStatus::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A recovery as stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RawRecovery {
    /// Its id.
    pub id: RecoveryId,
    /// Its state.
    pub status: RecoveryStatus,
    /// Creation time, on the store's clock.
    pub created_at: Timestamp,
    /// Time of its end.
    pub finished_at: Option<Timestamp>,
    /// Sequence through which deliveries are handled; `None` at the start.
    pub cursor: Option<i64>,
    /// Number of enqueued deliveries.
    pub recovered: u64,
    /// Number of deliveries that could not be sent again.
    pub skipped: u64,
    /// What to recover: one line of JSON.
    pub request: Vec<u8>,
}

/// A recovery that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawRunningRecovery {
    /// Its webhook.
    pub webhook: WebhookId,
    /// Deliveries of the webhook that are due or in flight.
    pub open: u64,
    /// The recovery.
    pub recovery: RawRecovery,
}

/// Result of creating a recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RawRecoveryCreation {
    /// It was created, now or by an earlier call with the same id.
    Created(RawRecovery),
    /// Another one of the webhook runs.
    Running(RecoveryId),
}

/// A delivery that a recovery handles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawRecoveryItem {
    /// Event id.
    pub event: EventId,
    /// Number in the order of creation.
    pub sequence: i64,
    /// Where the request body comes from.
    pub source: RecoverySource,
}

/// Where the body of a recovered delivery comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecoverySource {
    /// From its dead letter.
    DeadLetter,
    /// From the stream: it was dropped, and this is its body.
    Stream(Vec<u8>),
    /// From the queue: it waits for its next attempt.
    Queue,
    /// Its event is no longer kept.
    Gone,
}

/// Whether deliveries are left after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepEnd {
    /// There may be.
    More,
    /// There are none.
    Last,
}

/// One step of a recovery.
#[derive(Debug, Clone)]
pub(crate) struct RawRecoveryStep {
    /// Its webhook.
    pub webhook: WebhookId,
    /// The recovery.
    pub recovery: RecoveryId,
    /// Expected cursor.
    pub expected_cursor: Option<i64>,
    /// Cursor after all deliveries of this step.
    pub next_cursor: Option<i64>,
    /// Whether deliveries are left after that.
    pub end: StepEnd,
    /// Maximum deliveries of the webhook that are due or in flight. What exceeds it is left for the next step.
    pub max_open: u64,
    /// Maximum deliveries of the webhook that wait or are in flight, with the same effect.
    pub max_pending: u64,
    /// Deliveries, oldest first.
    pub items: Vec<RawRecoveryItem>,
}

/// Result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryStepOutcome {
    /// It was applied.
    Advanced {
        /// Deliveries that were enqueued.
        recovered: u64,
        /// Deliveries that could not be sent again.
        skipped: u64,
        /// State after the step.
        status: RecoveryStatus,
    },
    /// Another deliverer was faster, or the recovery has ended. Nothing was written.
    Conflict,
}

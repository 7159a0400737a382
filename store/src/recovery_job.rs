//! Recoveries: jobs that send dead and dropped deliveries of a webhook again, or those that wait at once. What they
//! recover, and their progress.

use gatepost_domain::change::Topic;
use gatepost_domain::id::{RecoveryId, WebhookId};
use gatepost_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deliveries::{Delivery, DeliveryPosition};
use crate::error::{Result, StoreErrorKind};
use crate::ops::{DeliveryKind, RawRecovery, RecoveryStatus};

/// The lists from which deliveries are recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveredKinds {
    /// Dead letters.
    Dead,
    /// Deliveries that were not made.
    Dropped,
    /// Both.
    All,
    /// Deliveries that wait for their next attempt. It becomes due at once.
    Failed,
}

impl RecoveredKinds {
    /// All choices.
    pub const ALL: [Self; 4] =
        [RecoveredKinds::Dead, RecoveredKinds::Dropped, RecoveredKinds::All, RecoveredKinds::Failed];

    /// Returns the name used in the API and in stored recoveries.
    pub fn as_str(self) -> &'static str {
        match self {
            RecoveredKinds::Dead => "dead",
            RecoveredKinds::Dropped => "dropped",
            RecoveredKinds::All => "all",
            RecoveredKinds::Failed => "failed",
        }
    }

    /// Parses the output of [`RecoveredKinds::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kinds| kinds.as_str() == text)
    }

    pub(crate) fn lists(self) -> Vec<DeliveryKind> {
        match self {
            RecoveredKinds::Dead => vec![DeliveryKind::Dead],
            RecoveredKinds::Dropped => vec![DeliveryKind::Dropped],
            RecoveredKinds::All => vec![DeliveryKind::Dead, DeliveryKind::Dropped],
            RecoveredKinds::Failed => vec![DeliveryKind::Waiting],
        }
    }
}

/// The deliveries that a recovery selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryFilter {
    /// The lists to search.
    pub kinds: RecoveredKinds,
    /// Created at this time or later.
    pub since: Timestamp,
    /// Created before this time.
    pub until: Option<Timestamp>,
    /// Of one of these topics; `None` for any.
    pub topics: Option<Vec<Topic>>,
}

impl RecoveryFilter {
    pub(crate) fn matches(&self, delivery: &Delivery) -> bool {
        let topic = delivery.action.and_then(|action| action.topic());
        self.since <= delivery.created_at
            && self.until.is_none_or(|until| delivery.created_at < until)
            && (delivery.kind != DeliveryKind::Waiting || delivery.has_failed())
            && self.topics.as_ref().is_none_or(|topics| topic.is_some_and(|topic| topics.contains(&topic)))
    }
}

/// Part of the deliveries of a webhook, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoverablePage {
    /// Number of deliveries that the filter selects.
    pub selected: u64,
    /// Position after which the next part begins; `None` if this one is empty.
    pub last: Option<DeliveryPosition>,
}

/// A recovery to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecovery {
    /// Its id, which makes it safe to create it again.
    pub id: RecoveryId,
    /// The deliveries to recover.
    pub filter: RecoveryFilter,
    /// Number of these deliveries.
    pub total: u64,
    /// Position through which deliveries are recovered; `None` if there are none.
    pub through: Option<DeliveryPosition>,
}

/// Result of creating a recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveryCreation {
    /// It was created.
    Created(RecoveryJob),
    /// Another one of the webhook runs. Nothing was written.
    Running(RecoveryId),
}

/// A recovery and its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryJob {
    /// Its id.
    pub id: RecoveryId,
    /// The deliveries to recover.
    pub filter: RecoveryFilter,
    /// State.
    pub status: RecoveryStatus,
    /// Number of deliveries to recover, as counted at its creation.
    pub total: u64,
    /// Number of deliveries that were enqueued.
    pub recovered: u64,
    /// Number of deliveries that could not be sent again: their events are no longer kept, or, at the end of the recovery,
    /// they were no longer in the lists.
    pub skipped: u64,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of its end.
    pub finished_at: Option<Timestamp>,
    pub(crate) cursor: Option<i64>,
    pub(crate) through: Option<i64>,
}

/// A recovery that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningRecovery {
    /// Its webhook.
    pub webhook: WebhookId,
    /// The recovery.
    pub job: RecoveryJob,
    /// Deliveries of the webhook that are due or in flight.
    pub open: u64,
}

/// Limits of the queue that a recovery fills.
#[derive(Debug, Clone, Copy)]
pub struct RecoveryPace {
    /// Maximum number of deliveries that are due or in flight.
    pub max_open: u64,
    /// Maximum number of deliveries that wait or are in flight.
    pub max_pending: u64,
}

/// The stored shape of what to recover.
#[derive(Serialize, Deserialize)]
struct StoredRequest {
    kinds: String,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topics: Option<Vec<String>>,
    total: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    through: Option<i64>,
}

impl NewRecovery {
    /// Encodes what to recover as one line of JSON.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let topics = self.filter.topics.as_ref();
        let stored = StoredRequest {
            kinds: self.filter.kinds.as_str().to_owned(),
            since: self.filter.since.as_ms(),
            until: self.filter.until.map(Timestamp::as_ms),
            topics: topics.map(|topics| topics.iter().map(|topic| topic.as_str().to_owned()).collect()),
            total: self.total,
            through: self.through.map(DeliveryPosition::sequence),
        };
        serde_json::to_vec(&stored).expect("a struct with text keys is JSON")
    }
}

impl RecoveryJob {
    pub(crate) fn decode(raw: RawRecovery) -> Result<Self> {
        let stored: StoredRequest =
            serde_json::from_slice(&raw.request).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        let kinds = RecoveredKinds::parse(&stored.kinds).ok_or_else(|| {
            StoreErrorKind::Corrupt.with(format!("a recovery has the unknown kinds {:?}", stored.kinds))
        })?;
        // No delivery has a topic that this program does not know.
        let topics = stored.topics.map(|topics| topics.iter().filter_map(|topic| Topic::parse(topic)).collect());
        let filter = RecoveryFilter {
            kinds,
            since: Timestamp::from_ms(stored.since),
            until: stored.until.map(Timestamp::from_ms),
            topics,
        };
        let missing = match raw.status {
            RecoveryStatus::Finished => stored.total.saturating_sub(raw.recovered),
            RecoveryStatus::Running | RecoveryStatus::Cancelled => 0,
        };
        Ok(Self {
            id: raw.id,
            filter,
            status: raw.status,
            total: stored.total,
            recovered: raw.recovered,
            skipped: raw.skipped.max(missing),
            created_at: raw.created_at,
            finished_at: raw.finished_at,
            cursor: raw.cursor,
            through: stored.through,
        })
    }

    /// Returns whether there may be deliveries left.
    pub fn is_running(&self) -> bool {
        self.status == RecoveryStatus::Running
    }

    /// Returns whether a delivery belongs to this recovery. One that died after its creation does not: it has been tried.
    pub(crate) fn includes(&self, delivery: &Delivery, died_at: Option<Timestamp>) -> bool {
        self.filter.matches(delivery) && died_at.is_none_or(|at| at <= self.created_at)
    }
}

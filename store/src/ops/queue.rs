//! Queue operations of the deliverer: fan-out, leases, dead letters, trimming.

use std::time::Duration;

use gatepost_domain::id::{EventId, LeaseToken, WebhookId};
use gatepost_domain::record::FailureStreak;
use gatepost_domain::time::{Timestamp, Version};

/// Failed attempts stored per webhook; the oldest are dropped.
pub const MAX_STORED_ATTEMPTS: u64 = 1000;
/// Delivered deliveries that the log of a webhook shows, and up to 100 more; beyond this number the oldest are dropped.
pub const MAX_LOGGED_DELIVERED: u64 = 1000;
/// Dropped deliveries that the log of a webhook shows, and up to 100 more; beyond this number the oldest are dropped.
pub const MAX_LOGGED_DROPPED: u64 = 10_000;
/// Dead letters per webhook; beyond this number the oldest are dropped.
pub const MAX_DEAD_LETTERS: u64 = 10_000;
/// Entries in quarantine; beyond this number the oldest are dropped.
pub const MAX_QUARANTINED: u64 = 10_000;
/// Maximum number of deliveries, and of dead letters, that one call of `drop_queue` removes, and of deliveries that one
/// call of `move_queue_to_dead_letters` moves.
pub(crate) const DROP_QUEUE_BATCH: u32 = 1000;
/// Longest time for which a receiver may pause its webhook at once.
pub const MAX_HOLD: Duration = Duration::from_secs(24 * 3600);
/// Longest time by which such pauses together delay an attempt, since the first one after a 2xx.
pub const MAX_HOLDS_TOGETHER: Duration = Duration::from_secs(7 * 24 * 3600);
/// Time in which refusals that pause a webhook count as one failure.
pub(crate) const REFUSAL_INTERVAL: Duration = Duration::from_secs(3600);

/// An event to deliver.
#[derive(Debug, Clone)]
pub(crate) struct RawEvent {
    /// Event id.
    pub event: EventId,
    /// Data from which the request body is built: one line of JSON.
    pub body: Vec<u8>,
    /// Subscribed webhooks; if empty, the event's sealed secret is erased.
    pub webhooks: Vec<WebhookId>,
}

/// One step of the fan-out.
#[derive(Debug, Clone)]
pub(crate) struct RawFanOut {
    /// Expected position of the fan-out cursor.
    pub expected_cursor: Version,
    /// New position of the fan-out cursor.
    pub new_cursor: Version,
    /// Number of entries between both, whether they are events or not.
    pub entry_count: u64,
    /// Events between both.
    pub events: Vec<RawEvent>,
    /// Deliveries that are not made because their webhook is paused: webhook, event, summary.
    pub dropped: Vec<(WebhookId, EventId, Vec<u8>)>,
    /// Entries that could not be decoded, for the quarantine: position, bytes, reason.
    pub quarantined: Vec<(Version, Vec<u8>, String)>,
    /// Maximum pending deliveries per webhook; beyond it the oldest becomes a dead letter.
    pub max_pending: u64,
    /// Maximum dead letters per webhook; beyond it the oldest are dropped.
    pub max_dead_letters: u64,
}

/// Result of a fan-out step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FanOutOutcome {
    /// The cursor moved and the deliveries were created.
    Applied {
        /// Number of deliveries that full queues moved to the dead letters.
        overflowed: u64,
    },
    /// The cursor was elsewhere, because another deliverer was faster. Nothing was written.
    Conflict,
}

/// Webhooks with due deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWebhooks {
    /// Webhooks with due deliveries, longest overdue first.
    pub webhooks: Vec<WebhookId>,
    /// Time until the next webhook becomes due; `None` if there is none.
    pub next_in: Option<Duration>,
}

/// A worker's request to lease deliveries.
#[derive(Debug, Clone)]
pub struct DeliveryLeaseRequest {
    /// Queue to lease from.
    pub webhook: WebhookId,
    /// Lease token, generated for each request.
    pub token: LeaseToken,
    /// Maximum number of deliveries to lease.
    pub max_deliveries: u32,
    /// Maximum number of this webhook's deliveries leased at the same time, by all workers together.
    pub in_flight_cap: u32,
    /// Lease duration unless it is extended.
    pub lease_duration: Duration,
}

/// A delivery leased by a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawLeasedDelivery {
    /// Event id.
    pub event: EventId,
    /// Data from which the request body is built: one line of JSON.
    pub body: Vec<u8>,
    /// The event's sealed secret, if it has one that was not erased.
    pub sealed: Option<Vec<u8>>,
    /// Number of previous attempts.
    pub attempts_made: u32,
    /// Creation time of the delivery.
    pub created_at: Timestamp,
}

/// What happens to a delivery after the worker is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Delivered: the delivery is finished.
    Delivered,
    /// Attempt failed: retry after this delay.
    Retry(Duration),
    /// Not retried, for this reason, perhaps without an attempt: move to the dead letters.
    DeadLetter(String),
    /// The webhook no longer exists: drop the delivery.
    Dropped,
    /// Not attempted: make it due again after this delay without counting an attempt.
    Defer(Duration),
}

/// A worker's report about a leased delivery.
#[derive(Debug, Clone)]
pub(crate) struct RawSettlement {
    /// Webhook of the delivery.
    pub webhook: WebhookId,
    /// Event of the delivery.
    pub event: EventId,
    /// Token of the lease.
    pub token: LeaseToken,
    /// What happens to the delivery.
    pub disposition: Disposition,
    /// Outcome of the attempt, for the numbers of the webhook; `None` if there was none.
    pub counted: Option<CountedOutcome>,
    /// Time for which nothing is sent to the webhook, because its receiver asked for it.
    pub hold: Option<Duration>,
    /// Failed attempt to store: one line of JSON.
    pub failed_attempt: Option<Vec<u8>>,
    /// If the delivery ends: its summary. If it is retried: its last attempt. One line of JSON, or empty.
    pub summary: Vec<u8>,
}

/// Outcome of an attempt in the numbers of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CountedOutcome {
    /// The receiver responded with 2xx.
    Delivered,
    /// Anything else.
    Failed,
}

impl CountedOutcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            CountedOutcome::Delivered => "delivered",
            CountedOutcome::Failed => "failed",
        }
    }
}

/// The lists of a webhook's deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryKind {
    /// Waiting for an attempt, or being sent.
    Waiting,
    /// The receiver responded with 2xx.
    Delivered,
    /// Not made, because the webhook was paused.
    Dropped,
    /// Given up.
    Dead,
}

impl DeliveryKind {
    /// All kinds.
    pub const ALL: [Self; 4] =
        [DeliveryKind::Waiting, DeliveryKind::Delivered, DeliveryKind::Dropped, DeliveryKind::Dead];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            DeliveryKind::Waiting => "waiting",
            DeliveryKind::Delivered => "delivered",
            DeliveryKind::Dropped => "dropped",
            DeliveryKind::Dead => "dead",
        }
    }
}

/// A delivery as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawDelivery {
    /// Event id.
    pub event: EventId,
    /// Number in the order of creation. Dead letters of early versions have negative ones.
    pub sequence: i64,
    /// Content by kind.
    pub content: RawDeliveryContent,
}

/// Content of a [`RawDelivery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RawDeliveryContent {
    /// Waiting for an attempt, or being sent.
    Waiting {
        /// Number of previous attempts.
        attempts_made: u32,
        /// End of its lease, if it is leased.
        leased_until: Option<Timestamp>,
        /// Creation time.
        created_at: Timestamp,
        /// Time of the next attempt: when it is due, and its webhook not held any more.
        due_at: Timestamp,
        /// Data from which the request body is built.
        body: Vec<u8>,
        /// The last attempt, one line of JSON.
        last_attempt: Option<Vec<u8>>,
    },
    /// Delivered or dropped.
    Ended {
        /// How it ended.
        kind: DeliveryKind,
        /// Its summary, one line of JSON.
        summary: Vec<u8>,
    },
    /// Given up.
    Dead {
        /// Its summary, which dead letters of early versions do not have.
        summary: Option<Vec<u8>>,
        /// The dead letter.
        letter: RawDeadLetter,
    },
}

/// Numbers of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookNumbers {
    /// Deliveries that wait for an attempt.
    pub waiting: u64,
    /// Leased deliveries.
    pub in_flight: u64,
    /// Dead letters.
    pub dead: u64,
    /// Deliveries that were not made because the webhook was paused.
    pub dropped: u64,
    /// Time from which the longest overdue delivery has been due, or the next one will be.
    pub oldest_due_at: Option<Timestamp>,
    /// Time until which nothing is sent to the webhook: its receiver asked for that, or it is paused and was looked at.
    pub held_until: Option<Timestamp>,
    /// Attempts of the last 24 hours, the current one included, that delivered.
    pub delivered_last_day: u64,
    /// Attempts of the last 24 hours, the current one included, that failed.
    pub failed_last_day: u64,
}

/// Result of making a waiting delivery due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendNowOutcome {
    /// It is due now.
    Due,
    /// It is being sent.
    InFlight,
    /// There is no such delivery that waits.
    NotWaiting,
}

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettlementOutcome {
    /// Whether the worker still held the lease.
    pub lease: LeaseStatus,
    /// Failed attempts of the webhook in a row, this one included. `None` if there was none, or it did not fail.
    pub streak: Option<FailureStreak>,
}

/// Whether the caller still held the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseStatus {
    /// It held the lease, and the operation was applied.
    Held,
    /// Another worker may hold the delivery now, or it is finished. Nothing was written.
    Lost,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawDeadLetter {
    /// Event id.
    pub event: EventId,
    /// Data from which the request body is built: one line of JSON.
    pub body: Vec<u8>,
    /// The event's sealed secret, retained for a while so that the delivery can be resent.
    pub sealed: Option<Vec<u8>>,
    /// Number of attempts.
    pub attempts_made: u32,
    /// Time at which it was given up.
    pub died_at: Timestamp,
    /// Reason.
    pub reason: String,
}

/// Position in the list of a webhook's dead letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadLetterPosition {
    /// Time at which the delivery was given up.
    pub died_at: Timestamp,
    /// Event id, which orders deliveries that were given up in the same millisecond.
    pub event: EventId,
}

/// Queue metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// Deliveries that wait for their time.
    pub pending: u64,
    /// Leased deliveries.
    pub leased: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// How long the most overdue delivery has been due.
    pub max_overdue: Duration,
    /// Entries after the fan-out cursor.
    pub fan_out_backlog: u64,
    /// Dead letters dropped over the lifetime of the store because their webhook had too many.
    pub dead_letters_dropped: u64,
}

/// Retention limits for trimming.
#[derive(Debug, Clone, Copy)]
pub struct RetentionPolicy {
    /// Maximum age of stream entries.
    pub max_age: Duration,
    /// Maximum number of stream entries.
    pub max_entries: u64,
    /// Maximum age of sealed secrets, in events and in dead letters.
    pub max_sealed_secret_age: Duration,
    /// Maximum age of dead letters.
    pub max_dead_letter_age: Duration,
    /// How long after its end a delivered or dropped delivery stays in the log of its webhook. It is removed within an
    /// hour after that.
    pub max_log_age: Duration,
    /// Attempts that started earlier, on the clock of deliverers, are removed within an hour.
    pub oldest_attempt: Timestamp,
    /// Maximum number of items of each kind that one call removes.
    pub batch: u32,
}

/// Result of trimming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrimStats {
    /// Stream entries removed.
    pub entries: u64,
    /// Sealed secrets removed, of events and of stored responses. Redis expires stored responses itself, uncounted.
    pub sealed_secrets: u64,
    /// Dead letters removed.
    pub dead_letters: u64,
    /// Position through which stream entries are gone.
    pub trimmed_through: Version,
}

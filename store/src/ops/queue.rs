//! The acts of the deliverer: fan-out, leases, dead letters, trimming.

use std::time::Duration;

use gatepost_domain::id::{EventId, LeaseToken, WebhookId};
use gatepost_domain::time::{Timestamp, Version};

/// Attempts that are remembered of a webhook.
pub const MAX_STORED_ATTEMPTS: u64 = 1000;
/// Dead letters that a webhook may have; beyond, the oldest go.
pub const MAX_DEAD_LETTERS: u64 = 10_000;
/// Entries that the quarantine holds; beyond, the oldest go.
pub const MAX_QUARANTINED: u64 = 10_000;
/// Deliveries, and dead letters, that one call of `drop_queue` removes.
pub const DROP_QUEUE_BATCH: u32 = 1000;

/// One event to be delivered.
#[derive(Debug, Clone)]
pub struct RawEvent {
    /// Its id.
    pub event: EventId,
    /// What the body is built from: one line of JSON.
    pub body: Vec<u8>,
    /// The webhooks that asked for it; empty if none did, and then its sealed secret is erased.
    pub webhooks: Vec<WebhookId>,
}

/// One step of the fan-out.
#[derive(Debug, Clone)]
pub struct RawFanOut {
    /// Where the fan-out cursor must be.
    pub expected_cursor: Version,
    /// Where it goes.
    pub new_cursor: Version,
    /// How many entries lie in between, whether they are events or not.
    pub entry_count: u64,
    /// The events in between.
    pub events: Vec<RawEvent>,
    /// Entries that could not be decoded, for the quarantine: position, bytes, reason.
    pub quarantined: Vec<(Version, Vec<u8>, String)>,
    /// Pending deliveries that a webhook may have; beyond, its oldest becomes a dead letter.
    pub max_pending: u64,
    /// Dead letters that a webhook may have; beyond, the oldest go.
    pub max_dead_letters: u64,
}

/// How a step of the fan-out ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FanOutOutcome {
    /// The cursor moved and the deliveries are there; so many were pushed into the dead letters.
    Applied {
        /// Deliveries that fell out of full queues.
        overflowed: u64,
    },
    /// The cursor was elsewhere: another deliverer was faster. Nothing was written.
    Conflict,
}

/// A webhook whose queue has something due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWebhooks {
    /// Webhooks with due deliveries, longest due first.
    pub webhooks: Vec<WebhookId>,
    /// How long until the next one that is not yet due; absent if there is none.
    pub next_in: Option<Duration>,
}

/// What a worker wants.
#[derive(Debug, Clone)]
pub struct DeliveryLeaseRequest {
    /// From which queue.
    pub webhook: WebhookId,
    /// What names the lease: drawn anew for every request.
    pub token: LeaseToken,
    /// How many at most.
    pub max_deliveries: u32,
    /// How many of this webhook may be leased at a time, by all workers together.
    pub in_flight_cap: u32,
    /// How long the lease holds unless it is extended.
    pub lease_duration: Duration,
}

/// A delivery in a worker's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLeasedDelivery {
    /// The event.
    pub event: EventId,
    /// What the body is built from.
    pub body: Vec<u8>,
    /// The event's sealed secret, if it has one that was not yet erased.
    pub sealed: Option<Vec<u8>>,
    /// How many attempts were made before.
    pub attempts_made: u32,
    /// When the delivery was made.
    pub created_at: Timestamp,
}

/// A delivery's end or next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Delivered.
    Delivered,
    /// Failed; again after this long.
    Retry(Duration),
    /// Failed for good, for this reason: into the dead letters.
    DeadLetter(String),
    /// The webhook is gone.
    Dropped,
    /// Not tried: again after this long, without counting an attempt.
    Defer(Duration),
}

/// What a worker reports.
#[derive(Debug, Clone)]
pub struct RawSettlement {
    /// Whose delivery.
    pub webhook: WebhookId,
    /// Of which event.
    pub event: EventId,
    /// The lease under which it was held.
    pub token: LeaseToken,
    /// What becomes of it.
    pub disposition: Disposition,
    /// What to remember of the attempt: one line of JSON; absent if none was made.
    pub attempt: Option<Vec<u8>>,
}

/// Whether the caller still held the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseStatus {
    /// It did, and the act was done.
    Held,
    /// Another worker may hold the delivery now, or it has ended. Nothing was written.
    Lost,
}

/// A delivery whose schedule has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawDeadLetter {
    /// The event.
    pub event: EventId,
    /// What the body is built from.
    pub body: Vec<u8>,
    /// The event's sealed secret, kept for a while so that it can be sent again.
    pub sealed: Option<Vec<u8>>,
    /// How many attempts were made.
    pub attempts_made: u32,
    /// When it was given up.
    pub died_at: Timestamp,
    /// Why.
    pub reason: String,
}

/// Numbers about the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// Deliveries waiting for their time.
    pub pending: u64,
    /// Deliveries in workers' hands.
    pub leased: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// How long the longest due delivery has been due.
    pub max_overdue: Duration,
    /// Entries after the fan-out cursor.
    pub fan_out_backlog: u64,
    /// Dead letters that were dropped, in the store's life, because their webhook had too many.
    pub dead_letters_dropped: u64,
}

/// What trimming may remove.
#[derive(Debug, Clone, Copy)]
pub struct RetentionPolicy {
    /// Entries older than this.
    pub max_age: Duration,
    /// Oldest entries beyond this many.
    pub max_entries: u64,
    /// Sealed secrets older than this, in events and in dead letters.
    pub max_sealed_secret_age: Duration,
    /// Dead letters older than this.
    pub max_dead_letter_age: Duration,
    /// How many of each kind one call removes at most.
    pub batch: u32,
}

/// What trimming removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrimStats {
    /// Entries.
    pub entries: u64,
    /// Sealed secrets, of events and of answers that were kept; Redis removes the latter by itself.
    pub sealed_secrets: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Where the stream now begins.
    pub trimmed_through: Version,
}

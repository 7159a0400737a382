//! Operations that both backends implement, each atomic, on opaque bytes. What must happen together is one operation.
//! Backends compare and apply; they make no policy decisions.

mod gateways;
mod queue;
mod recovery;
mod usage;

use std::time::Duration;

use gatepost_domain::change::{Action, Invalidation, Propagation};
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccountId, EventId, KeyId};
use gatepost_domain::partition::Position;
use gatepost_domain::time::{Timestamp, Version};

use crate::account_resources::{AccountLimits, AccountResource};
use crate::format::Format;
use crate::index::IndexEntry;
pub(crate) use crate::index::IndexName;

pub use gateways::{
    CursorCheck, CursorState, FeedCheck, FeedCursor, FeedStream, GatewayLabel, Heartbeat, HeartbeatReply,
    InvalidationBatch, InvalidationEntry, RegisteredGateway,
};
pub(crate) use queue::{
    CountedOutcome, DROP_QUEUE_BATCH, REFUSAL_INTERVAL, RawDeadLetter, RawDelivery, RawDeliveryContent, RawEvent,
    RawFanOut, RawLeasedDelivery, RawSettlement,
};
pub use queue::{
    DeadLetterPosition, DeliveryKind, DeliveryLeaseRequest, Disposition, DueWebhooks, FanOutOutcome, LeaseStatus,
    MAX_DEAD_LETTERS, MAX_HOLD, MAX_HOLDS_TOGETHER, MAX_LOGGED_DELIVERED, MAX_LOGGED_DROPPED, MAX_QUARANTINED,
    MAX_STORED_ATTEMPTS, QueueStats, RetentionPolicy, SendNowOutcome, SettlementOutcome, TrimStats, WebhookNumbers,
};
pub use recovery::{MAX_RECOVERIES, RecoveryStatus, RecoveryStepOutcome};
pub(crate) use recovery::{
    RawRecovery, RawRecoveryCreation, RawRecoveryItem, RawRecoveryStep, RawRunningRecovery, RecoverySource, StepEnd,
};
pub use usage::UsageGrouping;
pub(crate) use usage::{KeyGroup, LastUsesPage, RawLastUse, RawUsage, RolledUpUses, StoredUses, UsesPage, UsesPart};

/// Name of a record: its id, whose prefix encodes the kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RecordName(pub String);

/// The order in which the members of an index are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortOrder {
    /// By creation time, ascending.
    OldestFirst,
    /// By creation time, descending.
    NewestFirst,
}

/// Encoded content of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// Name of the record that this one depends on: a key's project, for example. Empty if there is none.
    pub parent: String,
    /// Expiry time: 0 if the record is revoked or inactive, [`Timestamp::MAX`] if it does not expire. A first-use claim
    /// compares it with the store's clock.
    pub usable_until: Timestamp,
    /// Public part, which the stream may show: one line of JSON without secrets.
    pub public: Vec<u8>,
    /// Private part: one line of JSON with digests and sealed secrets.
    pub private: Vec<u8>,
}

/// A record as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawRecord {
    /// Position of the last change that wrote the record.
    pub version: Version,
    /// Event id of that change.
    pub event: EventId,
    /// Encoded content.
    pub image: Image,
    /// Time of first use, for keys.
    pub first_used_at: Option<Timestamp>,
}

/// The write of one record in a commit, with the expected current version.
#[derive(Debug, Clone)]
pub(crate) struct RawWrite {
    /// Name of the record.
    pub name: RecordName,
    /// Version that the writer read; `None` if there was no record.
    pub expected_version: Option<Version>,
    /// Event id of that version. After a failover it identifies the version even if a replay gave it another position.
    pub expected_event: Option<EventId>,
    /// New content; `None` removes the record.
    pub new: Option<Image>,
    /// Entry in the index that lists the record; it determines what is counted for the account.
    pub(crate) index_entry: IndexEntry,
}

/// An atomic write of records, indexes and one stream entry.
#[derive(Debug, Clone)]
pub(crate) struct RawCommit {
    /// Event id, chosen by the caller. If the first record already carries it, the commit was applied before: it
    /// returns the same version and writes nothing.
    pub event: EventId,
    /// Record writes, at least one.
    pub writes: Vec<RawWrite>,
    /// Key digests to map to a record. A digest that maps to another record is a conflict.
    pub digests_set: Vec<(Digest, RecordName)>,
    /// Key digests to remove.
    pub digests_drop: Vec<Digest>,
    /// Index members to add.
    pub index_set: Vec<(IndexName, String)>,
    /// Index members to remove.
    pub index_drop: Vec<(IndexName, String)>,
    /// Account that owns the records.
    pub account: Option<AccountId>,
    /// Limits of the account that this commit must keep; `None` if it is exempt.
    pub(crate) limits: Option<AccountLimits>,
    /// Content of the stream entry.
    pub payload: EntryPayload,
    /// Secret for the event's deliveries, sealed for the event id.
    pub sealed: Option<Vec<u8>>,
    /// Responses to store for retried requests.
    pub stored_responses: Vec<RawStoredResponse>,
    /// Whether the commit is refused when the store is full.
    pub urgency: Urgency,
    /// Whether values in Gatepost's key format may have a wrong checksum from now on.
    pub disables_checksum: DisablesChecksum,
    /// Format of the encoded records. If the store is in a later format, nothing is written. `None` writes in any case.
    pub format: Option<Format>,
}

/// A response that is stored under a name for a limited time.
#[derive(Debug, Clone)]
pub(crate) struct RawStoredResponse {
    /// Name under which a retry finds it.
    pub name: String,
    /// The response, sealed for the name.
    pub sealed: Vec<u8>,
    /// Retention time.
    pub ttl: Duration,
}

/// A conditional write, removal or claim of a stored response.
#[derive(Debug, Clone)]
pub(crate) struct RawResponseSwap {
    /// Name of the response.
    pub name: String,
    /// Condition on what is stored under the name.
    pub expected: ExpectedResponse,
    /// Response to store; `None` removes the current one.
    pub new: Option<RawStoredResponse>,
}

/// Condition of a [`RawResponseSwap`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExpectedResponse {
    /// No condition.
    Any,
    /// Nothing is stored, or it has expired.
    Absent,
    /// Exactly these bytes are stored.
    Exactly(Vec<u8>),
}

/// Result of a [`RawResponseSwap`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SwapOutcome {
    /// The swap was applied.
    Swapped,
    /// The condition does not hold: these bytes are stored, or nothing.
    Conflict(Option<Vec<u8>>),
}

/// Priority of a write when the store is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Refused when the store is full.
    Ordinary,
    /// Revokes or deactivates something: accepted even when the store is full.
    Revocation,
}

/// Whether a commit permanently ends strict checksum validation for the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DisablesChecksum {
    /// Checksum validation is unchanged.
    #[default]
    No,
    /// Keys with a wrong checksum are looked up from now on.
    Yes,
}

/// The fields of a stream entry, except its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryPayload {
    /// Kind of change.
    pub action: Action,
    /// Cache entries that the change invalidates.
    pub invalidation: Invalidation,
    /// Whether the response may have to wait until every gateway has applied the change.
    pub propagation: Propagation,
    /// Actor, origin and old public image: one line of JSON.
    pub metadata: Vec<u8>,
    /// New public image: one line of JSON, empty if the record was removed.
    pub image: Vec<u8>,
}

/// Result of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome<P = Position> {
    /// Applied now, at this position.
    Committed(P),
    /// Applied before, with the same event id, at this position.
    AlreadyCommitted(P),
    /// A record is not at the expected version. Nothing was written.
    VersionConflict,
    /// A key digest maps to another record. Nothing was written.
    DigestTaken,
    /// The fan-out backlog is at its limit. Nothing was written.
    StreamFull,
    /// The account would exceed its limit of this resource, which is the given number. Nothing was written.
    AccountLimitExceeded(AccountResource, u64),
}

/// Result of a commit, without the cell, which a backend does not know.
pub(crate) type RawCommitOutcome = CommitOutcome<Version>;

/// A stream entry as read. If it cannot be decoded, the readable parts are present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawEntry {
    /// Position in the stream.
    pub version: Version,
    /// Event id, if it is readable.
    pub event: Option<EventId>,
    /// Fields of the entry, or its raw bytes if they cannot be decoded.
    pub payload: Result<EntryPayload, Undecodable>,
}

/// A stream entry that this version of the program cannot decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// Its invalidation, or [`Invalidation::All`] if that is not readable either.
    pub invalidation: Invalidation,
    /// Raw fields.
    pub bytes: Vec<u8>,
    /// Reason for humans.
    pub reason: String,
}

/// Result of looking up a key digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawLookup {
    /// Last stream position at the time of the lookup: the result reflects all changes up to it.
    pub as_of: Version,
    /// Number of accounts.
    pub accounts: u64,
    /// Name of the record, the record, and its parent record if that exists; `None` if no record has this digest.
    pub found: Option<(RecordName, RawRecord, Option<RawRecord>)>,
}

/// Deliveries leased under one token, and the record of their webhook at that moment.
#[derive(Debug)]
pub(crate) struct RawDeliveryLeases {
    /// `None` if the webhook was deleted, or the error of decoding it.
    pub webhook: crate::error::Result<Option<RawRecord>>,
    /// The deliveries.
    pub deliveries: Vec<RawLeasedDelivery>,
}

/// A claim of a key's first use.
#[derive(Debug, Clone)]
pub(crate) struct RawFirstUseClaim {
    /// Id of the key.
    pub key: KeyId,
    /// Digest of the presented value, which must still map to the key.
    pub digest: Digest,
    /// Event id, derived from the key's id.
    pub event: EventId,
    /// Actor and origin, for the stream entry.
    pub metadata: Vec<u8>,
}

/// Result of a first-use claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstUseOutcome {
    /// This was the first use; the change is at this position.
    Won(Version),
    /// The key was used before, at this time.
    AlreadyUsed(Timestamp),
    /// The key or its project is not active, or the value no longer maps to the key.
    NotActive,
}

/// Result of reading the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawFeed {
    /// State of the cursor: whether the entries continue what the reader has read.
    pub cursor_check: CursorCheck,
    /// Entries after the cursor, or before it.
    pub entries: Vec<RawEntry>,
    /// The end of the stream from which gateways should read, if the entries are after the cursor.
    pub end: FeedCursor,
}

/// Counts of acknowledged changes that a new master of Redis had lost, by outcome, in this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayStats {
    /// Replayed under the same event id.
    pub replayed: u64,
    /// Not replayed because others had changed the same record since; they stay lost.
    pub conflicts: u64,
    /// Given up, because they could not be replayed in time or too many waited.
    pub given_up: u64,
}

/// Rebases a lost revocation onto the current record; `None` if the record is already revoked. Handed to a backend that
/// replays commits, which does not decode records itself.
pub(crate) type RebaseRevocation =
    Box<dyn Fn(&RawCommit, &RawRecord) -> crate::error::Result<Option<RawCommit>> + Send + Sync>;

//! The acts that both backends perform, each atomic, on opaque bytes. What must happen together is
//! one act; a backend compares and applies, and decides nothing.

mod queue;
mod usage;

use std::time::Duration;

use gatepost_domain::change::{Action, Invalidation, Propagation};
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccountId, EventId, GatewayId, KeyId};
use gatepost_domain::time::{Timestamp, Version};

use crate::account_resources::{AccountLimits, AccountResource, IndexEntry};
use crate::format::Format;

pub use queue::{
    DROP_QUEUE_BATCH, DeliveryLeaseRequest, Disposition, DueWebhooks, FanOutOutcome, LeaseStatus, MAX_DEAD_LETTERS,
    MAX_QUARANTINED, MAX_STORED_ATTEMPTS, QueueStats, RawDeadLetter, RawEvent, RawFanOut, RawLeasedDelivery,
    RawSettlement, RetentionPolicy, TrimStats,
};

pub use usage::{RawUsage, UsageGrouping};

/// The name of a record: its id, whose prefix names its kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordName(pub String);

/// An ordered set of records. Members begin with the moment of creation, so order is creation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexName(pub String);

/// The order in which the members of an index are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortOrder {
    /// In order of creation.
    OldestFirst,
    /// The other way round.
    NewestFirst,
}

/// The bytes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The record that this one depends on: a key's project. Empty if none.
    pub parent: String,
    /// Until when the record counts: 0 if it was shut off, [`Timestamp::MAX`] if it does not expire.
    /// The first-use act compares it with the store's clock.
    pub usable_until: Timestamp,
    /// What the stream may show: one line of JSON without secrets.
    pub public: Vec<u8>,
    /// What it may not: one line of JSON with digests and sealed secrets.
    pub private: Vec<u8>,
}

/// A record as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// Its version: the position of the last change that wrote it.
    pub version: Version,
    /// The event id of that change.
    pub event: EventId,
    /// Its bytes.
    pub image: Image,
    /// When the record, a key, was first used.
    pub first_used_at: Option<Timestamp>,
}

/// What a commit expects of a record and puts in its place.
#[derive(Debug, Clone)]
pub struct RawWrite {
    /// Which record.
    pub name: RecordName,
    /// The version that the writer saw; absent if it saw no record.
    pub expected_version: Option<Version>,
    /// The event id of that version, by which it is known where it had to be written again.
    pub expected_event: Option<EventId>,
    /// What it shall be; absent to remove it.
    pub new: Option<Image>,
    /// Its entry in an index, by which it is counted.
    pub(crate) index_entry: IndexEntry,
}

/// One write of state and stream.
#[derive(Debug, Clone)]
pub struct RawCommit {
    /// The event's id, chosen by the caller. If the first write's record already carries it, the
    /// commit was made before: it answers the same version and writes nothing.
    pub event: EventId,
    /// Records, at least one.
    pub writes: Vec<RawWrite>,
    /// Key values that shall lead to a record. One that leads to another record is a conflict.
    pub digests_set: Vec<(Digest, RecordName)>,
    /// Key values that shall lead nowhere.
    pub digests_drop: Vec<Digest>,
    /// Members to add.
    pub index_set: Vec<(IndexName, String)>,
    /// Members to remove.
    pub index_drop: Vec<(IndexName, String)>,
    /// Whose records they are.
    pub account: Option<AccountId>,
    /// How much the account may have then; none if nothing is refused for that.
    pub(crate) limits: Option<AccountLimits>,
    /// What the stream tells.
    pub payload: EntryPayload,
    /// A secret that the event's deliveries carry, sealed and bound to the event id.
    pub sealed: Option<Vec<u8>>,
    /// Answers that repeated requests shall get again.
    pub stored_responses: Vec<RawStoredResponse>,
    /// Whether the commit may be refused when the stream is at its cap.
    pub urgency: Urgency,
    /// Whether values of our shape may have a wrong checksum from now on.
    pub disables_checksum: DisablesChecksum,
    /// The format in which the records are: where the store is in a later one, nothing is written. None for what must
    /// be written in any case.
    pub format: Option<Format>,
}

/// An answer that is kept for a while under a name.
#[derive(Debug, Clone)]
pub struct RawStoredResponse {
    /// What the repeated request will ask for.
    pub name: String,
    /// The answer, sealed and bound to the name.
    pub sealed: Vec<u8>,
    /// For how long.
    pub ttl: Duration,
}

/// A receipt that shall be put, taken away or claimed.
#[derive(Debug, Clone)]
pub struct RawResponseSwap {
    /// Its name.
    pub name: String,
    /// What must stand there.
    pub expected: ExpectedResponse,
    /// What shall, and for how long; absent for nothing.
    pub new: Option<RawStoredResponse>,
}

/// What must stand under a receipt's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedResponse {
    /// Anything or nothing.
    Any,
    /// Nothing, or what does not count any more.
    Absent,
    /// These bytes.
    Exactly(Vec<u8>),
}

/// How a swap ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwapOutcome {
    /// It was done.
    Swapped,
    /// Something else stands there: these bytes, or nothing.
    Conflict(Option<Vec<u8>>),
}

/// Whether a write waits when the store is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// It is refused then.
    Ordinary,
    /// It shuts something off: it goes on.
    Revocation,
}

/// Whether a commit ends the store's strict checksum for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DisablesChecksum {
    /// No.
    #[default]
    No,
    /// Yes.
    Yes,
}

/// The fields of a stream entry, apart from its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPayload {
    /// What the change did.
    pub action: Action,
    /// What it makes worthless in caches.
    pub invalidation: Invalidation,
    /// Whether an answer may have to wait for every gateway.
    pub propagation: Propagation,
    /// Who, where, and the old public image: one line of JSON.
    pub metadata: Vec<u8>,
    /// The new public image: one line of JSON, empty if the record was removed.
    pub image: Vec<u8>,
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Written now.
    Committed(Version),
    /// Written before, by the same event id.
    AlreadyCommitted(Version),
    /// A record is not at the expected version.
    VersionConflict,
    /// A key value belongs to another record.
    DigestTaken,
    /// The stream is at its cap and the deliverer is behind.
    StreamFull,
    /// The account would have more of this than it may have, which is so much.
    AccountLimitExceeded(AccountResource, u64),
}

/// An entry as read. Where fields cannot be understood, what can is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// Its position.
    pub version: Version,
    /// Its event id, if that can be read.
    pub event: Option<EventId>,
    /// What it tells: the bytes as they are if it cannot be decoded.
    pub payload: Result<EntryPayload, Undecodable>,
}

/// An entry that this version of the program cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// Its scope, or [`Invalidation::All`] if even that cannot be read.
    pub invalidation: Invalidation,
    /// Its fields as they are.
    pub bytes: Vec<u8>,
    /// What is wrong with it.
    pub reason: String,
}

/// What a key value leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLookup {
    /// The last position at the moment of the look-up: the answer is as of then.
    pub as_of: Version,
    /// Number of accounts.
    pub accounts: u64,
    /// The record and its owner; absent if the value leads nowhere.
    pub found: Option<(RecordName, RawRecord, Option<RawRecord>)>,
}

/// A key's first use.
#[derive(Debug, Clone)]
pub struct RawFirstUseClaim {
    /// The key.
    pub key: KeyId,
    /// The value that was presented: it must still lead to the key.
    pub digest: Digest,
    /// The event's id, derived from the key's.
    pub event: EventId,
    /// Who and where, for the stream entry.
    pub metadata: Vec<u8>,
}

/// How a claim ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstUseOutcome {
    /// This was the first use; the change stands at this position.
    Won(Version),
    /// The key was used before, at this moment.
    AlreadyUsed(Timestamp),
    /// The key or its project may not be used, or the value does not lead to it any more.
    NotActive,
}

/// A gateway's sign of life.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// Which gateway.
    pub gateway: GatewayId,
    /// Up to where it has applied the stream.
    pub cursor: Version,
    /// The event id at the cursor, if it has read that entry.
    pub cursor_event: Option<EventId>,
    /// After this long without a further heartbeat it refuses everything from its cache.
    pub valid_for: Duration,
}

/// The store's answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// What became of the gateway's cursor.
    pub cursor_check: CursorCheck,
    /// Number of accounts.
    pub accounts: u64,
    /// Whether values of our shape must have a right checksum.
    pub checksum: gatepost_domain::key::ChecksumPolicy,
}

/// What became of the entry at a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorState {
    /// It is there with the same event id, or the cursor is at the start.
    Present,
    /// It was trimmed.
    Trimmed,
    /// It is another one, or lies beyond the last position: history was rewound.
    Diverged,
}

/// What the store says of a reader's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorCheck {
    /// What became of its entry.
    pub state: CursorState,
    /// The last position.
    pub last: Version,
    /// Entries up to here are gone from the stream.
    pub trimmed_through: Version,
}

/// What a reader of the stream is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFeed {
    /// What became of its cursor: whether the entries continue what it has read.
    pub cursor_check: CursorCheck,
    /// What comes after the cursor.
    pub entries: Vec<RawEntry>,
}

/// A gateway that the store knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredGateway {
    /// Which.
    pub id: GatewayId,
    /// Up to where it has applied the stream.
    pub cursor: Version,
    /// The moment from which it refuses everything unless it is heard from again.
    pub lease_expires_at: Timestamp,
    /// The latest format that it can read.
    pub max_format: u32,
}

/// How often this process found that a new master of Redis had lost what was acknowledged, and how that ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayStats {
    /// It was written again under the same event id.
    pub replayed: u64,
    /// Others had changed the same record in the meantime: it stays lost.
    pub conflicts: u64,
    /// It could not be repeated for so long that it was given up.
    pub too_old: u64,
}

//! What a store has, entry by entry and independent of its backend, for copies from one store to another.
//!
//! Only what cannot be derived is an entry: the writer of an entry also writes the indexes, queues and counts that follow
//! from it.

use gatepost_domain::partition::PartitionGroup;
use gatepost_domain::time::Version;
use gatepost_domain::usage::HOUR_MS;

use crate::error::{StoreError, StoreErrorKind};
use crate::ops::{DeliveryKind, RawRecovery, UsesPart};
use crate::options::HOURLY_RETENTION_HOURS;

/// How long a removal is remembered, on both backends.
const REMOVAL_RETENTION_MS: u64 = 600_000;

/// Entries that a reader returns together, at most.
pub(crate) const MAX_BATCH_ENTRIES: usize = 500;
/// Bytes after which a batch of entries is complete.
pub(crate) const MAX_BATCH_BYTES: usize = 4 << 20;

/// Entries that were read together.
#[derive(Debug, Default)]
pub(crate) struct CopiedBatch {
    /// The entries.
    pub entries: Vec<CopiedEntry>,
    /// Position from which an interrupted copy resumes once these entries are written; `None` to resume from an earlier
    /// one.
    pub position: Option<String>,
}

/// A number of the store itself, 0 unless it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum StoreNumber {
    /// Last position of the stream.
    Last,
    /// Position through which entries were trimmed.
    Trimmed,
    /// Position of the fan-out cursor.
    FanOut,
    /// Entries ever appended.
    Entries,
    /// Entries ever fanned out.
    Fanned,
    /// Deliveries ever created.
    Made,
    /// Dead letters ever dropped.
    DeadDropped,
    /// 1 if keys need no correct checksum.
    LooseChecksum,
    /// State of the counting of account resources: 1 in progress, 2 complete.
    Counted,
    /// Time of the clock of the queues that was recorded last, in ms.
    QueueClock,
    /// How far that clock is ahead of the clock of the store, in ms.
    QueueClockAhead,
}

impl StoreNumber {
    pub(crate) const ALL: [Self; 11] = [
        StoreNumber::Last,
        StoreNumber::Trimmed,
        StoreNumber::FanOut,
        StoreNumber::Entries,
        StoreNumber::Fanned,
        StoreNumber::Made,
        StoreNumber::DeadDropped,
        StoreNumber::LooseChecksum,
        StoreNumber::Counted,
        StoreNumber::QueueClock,
        StoreNumber::QueueClockAhead,
    ];

    /// Returns the field in the embedded store.
    pub(crate) fn embedded_field(self) -> &'static str {
        match self {
            StoreNumber::Last => "last",
            StoreNumber::Trimmed => "trimmed",
            StoreNumber::FanOut => "fan_out",
            StoreNumber::Entries => "entries",
            StoreNumber::Fanned => "fanned",
            StoreNumber::Made => "made",
            StoreNumber::DeadDropped => "dead_dropped",
            StoreNumber::LooseChecksum => "loose_checksum",
            StoreNumber::Counted => "counted",
            StoreNumber::QueueClock => "queue_clock",
            StoreNumber::QueueClockAhead => "queue_clock_ahead",
        }
    }

    /// Returns the field on Redis.
    pub(crate) fn redis_field(self) -> String {
        self.embedded_field().replace('_', "-")
    }

    /// Returns whether the number is a position of the stream.
    pub(crate) fn is_position(self) -> bool {
        matches!(self, StoreNumber::Last | StoreNumber::Trimmed | StoreNumber::FanOut)
    }
}

/// A stream entry as both backends store it. Nothing of it is interpreted, so entries of later releases are copied too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CopiedChange {
    pub version: Version,
    pub format: u8,
    pub event: String,
    pub action: String,
    pub scope: String,
    pub scope_data: Vec<u8>,
    pub is_fenced: bool,
    pub head: String,
    pub image: String,
}

/// A delivery that waits or is leased.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CopiedDelivery {
    pub webhook: String,
    pub event: String,
    pub attempts_made: u32,
    pub token: String,
    pub lease_end_ms: u64,
    pub created_ms: u64,
    pub available_ms: u64,
    /// `None` for deliveries of early versions.
    pub sequence: Option<u64>,
    /// One line of JSON.
    pub last_attempt: Option<Vec<u8>>,
}

/// A delivery that ended, in the log of its webhook.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CopiedLogEntry {
    pub webhook: String,
    pub event: String,
    pub kind: DeliveryKind,
    pub sequence: i64,
    pub ended_ms: u64,
    /// One line of JSON, or empty.
    pub summary: Vec<u8>,
}

/// A dead letter, with its place in the log of its webhook.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CopiedDeadLetter {
    pub webhook: String,
    pub event: String,
    pub died_ms: u64,
    pub attempts_made: u32,
    pub reason: String,
    pub body: Vec<u8>,
    pub sealed: Option<Vec<u8>>,
    pub sequence: i64,
    /// One line of JSON, or empty for those of early versions.
    pub summary: Vec<u8>,
}

/// The window of a rate limit or quota.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CopiedWindow {
    pub name: String,
    pub ends_at_ms: u64,
    pub leased: u64,
    pub generation: u32,
    pub limit: u64,
    /// 0 for a calendar window.
    pub length_ms: u64,
}

/// Uses of a key, or of all keys of a group if the key is empty, as both backends store them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CopiedKeyUsage {
    pub project: String,
    pub group: PartitionGroup,
    pub part: UsesPart,
    pub key: String,
    pub uses: Vec<u8>,
}

/// One entry of a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum CopiedEntry {
    Number {
        number: StoreNumber,
        value: u64,
    },
    Record {
        name: String,
        bytes: Vec<u8>,
    },
    FirstUse {
        key: String,
        ms: u64,
    },
    Digest {
        digest: [u8; 32],
        record: String,
    },
    IndexMember {
        index: String,
        member: String,
    },
    Change(CopiedChange),
    SealedSecret {
        event: String,
        ms: u64,
        sealed: Vec<u8>,
    },
    StoredResponse {
        name: String,
        expires_ms: u64,
        sealed: Vec<u8>,
    },
    Removal {
        record: String,
        event: String,
        version: Version,
    },
    EventBody {
        event: String,
        deliveries_left: u64,
        body: Vec<u8>,
    },
    Delivery(CopiedDelivery),
    Hold {
        webhook: String,
        until_ms: u64,
    },
    Failures {
        webhook: String,
        failures: u64,
        first_ms: u64,
        refused_ms: u64,
        held_ms: u64,
    },
    Attempts {
        webhook: String,
        newest_first: Vec<Vec<u8>>,
    },
    LogEntry(CopiedLogEntry),
    LogCheck {
        webhook: String,
        at_ms: u64,
    },
    Hour {
        webhook: String,
        hour: u64,
        delivered: u64,
        failed: u64,
    },
    Recovery {
        webhook: String,
        recovery: RawRecovery,
    },
    DeadLetter(CopiedDeadLetter),
    Quarantined {
        version: Version,
        bytes: Vec<u8>,
        reason: String,
    },
    Window(CopiedWindow),
    /// In the first format.
    Usage {
        hour: u64,
        project: String,
        key: String,
        count: u64,
    },
    /// In the first format.
    LastUse {
        project: String,
        key: String,
        ms: u64,
    },
    KeyUsage(CopiedKeyUsage),
    AccountCount {
        account: String,
        resource: String,
        count: u64,
    },
    CountingProgress {
        index: String,
        member: String,
    },
}

impl CopiedEntry {
    /// What entries are called in a report, in its order.
    pub(crate) const KINDS: [&'static str; 26] = [
        "records",
        "first uses",
        "key digests",
        "list entries",
        "changes",
        "sealed secrets",
        "stored responses",
        "removals",
        "event bodies",
        "waiting deliveries",
        "holds",
        "failure counts",
        "attempt lists",
        "logged deliveries",
        "log checks",
        "hours of attempts",
        "recoveries",
        "dead letters",
        "quarantined entries",
        "rate limit windows",
        "usage counters",
        "last uses",
        "uses of keys",
        "account counts",
        "counting cursors",
        "store numbers",
    ];

    /// Returns one of [`CopiedEntry::KINDS`].
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            CopiedEntry::Number { .. } => "store numbers",
            CopiedEntry::Record { .. } => "records",
            CopiedEntry::FirstUse { .. } => "first uses",
            CopiedEntry::Digest { .. } => "key digests",
            CopiedEntry::IndexMember { .. } => "list entries",
            CopiedEntry::Change(_) => "changes",
            CopiedEntry::SealedSecret { .. } => "sealed secrets",
            CopiedEntry::StoredResponse { .. } => "stored responses",
            CopiedEntry::Removal { .. } => "removals",
            CopiedEntry::EventBody { .. } => "event bodies",
            CopiedEntry::Delivery(_) => "waiting deliveries",
            CopiedEntry::Hold { .. } => "holds",
            CopiedEntry::Failures { .. } => "failure counts",
            CopiedEntry::Attempts { .. } => "attempt lists",
            CopiedEntry::LogEntry(_) => "logged deliveries",
            CopiedEntry::LogCheck { .. } => "log checks",
            CopiedEntry::Hour { .. } => "hours of attempts",
            CopiedEntry::Recovery { .. } => "recoveries",
            CopiedEntry::DeadLetter(_) => "dead letters",
            CopiedEntry::Quarantined { .. } => "quarantined entries",
            CopiedEntry::Window(_) => "rate limit windows",
            CopiedEntry::Usage { .. } => "usage counters",
            CopiedEntry::LastUse { .. } => "last uses",
            CopiedEntry::KeyUsage(_) => "uses of keys",
            CopiedEntry::AccountCount { .. } => "account counts",
            CopiedEntry::CountingProgress { .. } => "counting cursors",
        }
    }

    /// Returns the time in ms from which no operation reads the entry any more, if there is one. Redis forgets such an
    /// entry by itself, the embedded store when it trims.
    pub(crate) fn expires_ms(&self) -> Option<u64> {
        match self {
            CopiedEntry::StoredResponse { expires_ms, .. } => Some(*expires_ms),
            CopiedEntry::Removal { version, .. } => Some(version.timestamp().as_ms() + REMOVAL_RETENTION_MS),
            CopiedEntry::Window(window) => Some(window.ends_at_ms),
            CopiedEntry::Usage { hour, .. } => Some((hour + HOURLY_RETENTION_HOURS + 1) * HOUR_MS),
            CopiedEntry::Number { .. }
            | CopiedEntry::Record { .. }
            | CopiedEntry::FirstUse { .. }
            | CopiedEntry::Digest { .. }
            | CopiedEntry::IndexMember { .. }
            | CopiedEntry::Change(_)
            | CopiedEntry::SealedSecret { .. }
            | CopiedEntry::EventBody { .. }
            | CopiedEntry::Delivery(_)
            | CopiedEntry::Hold { .. }
            | CopiedEntry::Failures { .. }
            | CopiedEntry::Attempts { .. }
            | CopiedEntry::LogEntry(_)
            | CopiedEntry::LogCheck { .. }
            | CopiedEntry::Hour { .. }
            | CopiedEntry::Recovery { .. }
            | CopiedEntry::DeadLetter(_)
            | CopiedEntry::Quarantined { .. }
            | CopiedEntry::LastUse { .. }
            | CopiedEntry::KeyUsage(_)
            | CopiedEntry::AccountCount { .. }
            | CopiedEntry::CountingProgress { .. } => None,
        }
    }
}

/// What is at the address to which a store is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CopyTarget {
    /// Nothing.
    Empty,
    /// A copy that has not ended, with its mark.
    Unfinished(Vec<u8>),
    /// A store, or parts of one.
    InUse,
}

/// Returns the error of a copy whose mark has been replaced.
pub(crate) fn other_copy() -> StoreError {
    StoreErrorKind::Refused.with("another command copies to the same address, or has finished that")
}

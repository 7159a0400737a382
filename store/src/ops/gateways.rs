//! Types of the operations of gateways: cursors, the invalidation feed, heartbeats.

use std::time::Duration;

use gatepost_domain::change::{Invalidation, Propagation};
use gatepost_domain::id::{EventId, GatewayId};
use gatepost_domain::record::Status;
use gatepost_domain::time::{Timestamp, Version};

/// State of the entry at a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorState {
    /// The entry is present with the same event id, or the cursor is at the start.
    Present,
    /// The entry was trimmed.
    Trimmed,
    /// Another entry is there, or the cursor is beyond the last position: history was rewound.
    Diverged,
}

/// Result of checking a reader's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorCheck {
    /// State of the entry at the cursor.
    pub state: CursorState,
    /// Last position of the stream.
    pub last: Version,
    /// Position through which entries were trimmed.
    pub trimmed_through: Version,
}

/// A stream that says what changes invalidate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FeedStream {
    /// The stream of all changes: on the embedded store, and on Redis in the first format.
    #[default]
    Changes,
    /// The stream of invalidations alone.
    Invalidations,
}

/// Where a reader of invalidations is. Positions are the same in both streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedCursor {
    /// The stream.
    pub stream: FeedStream,
    /// Position of the last entry that was read.
    pub version: Version,
    /// Event id of that entry, if it is known.
    pub event: Option<EventId>,
}

impl FeedCursor {
    /// Returns a cursor in the stream of all changes.
    pub fn in_changes(version: Version, event: Option<EventId>) -> Self {
        Self { stream: FeedStream::Changes, version, event }
    }

    /// Returns a cursor in the stream of invalidations.
    pub(crate) fn in_invalidations(version: Version, event: Option<EventId>) -> Self {
        Self { stream: FeedStream::Invalidations, version, event }
    }
}

/// Result of checking a [`FeedCursor`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedCheck {
    /// State of the cursor: whether reading can continue there.
    pub state: CursorState,
    /// Position through which entries were trimmed, in the stream of all changes.
    pub trimmed_through: Version,
    /// The last entry of the stream that should be read, where a reader starts that cannot continue.
    pub end: FeedCursor,
}

impl From<CursorCheck> for FeedCheck {
    fn from(check: CursorCheck) -> Self {
        let CursorCheck { state, last, trimmed_through } = check;
        Self { state, trimmed_through, end: FeedCursor::in_changes(last, None) }
    }
}

/// Result of reading the invalidation feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidationBatch {
    /// Entries after the cursor, oldest first.
    pub entries: Vec<InvalidationEntry>,
    /// State of the cursor: whether the entries continue what was read up to it.
    pub cursor_check: FeedCheck,
}

/// What one change invalidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidationEntry {
    /// Position in the stream.
    pub version: Version,
    /// Event id, if it is readable.
    pub event: Option<EventId>,
    /// Cache entries that the change invalidates. That is known even if the rest cannot be decoded.
    pub invalidation: Invalidation,
    /// Whether a response may wait until every gateway has applied the change; a change that cannot be decoded is fenced.
    pub propagation: Propagation,
    /// Status of the key or project after the change; `None` if the change is of another record, or cannot be decoded.
    pub status: Option<Status>,
}

/// What people see of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayLabel {
    /// Name: the host and the port that it listens on, by default.
    pub name: String,
    /// Release that it runs.
    pub version: String,
}

/// A heartbeat, with which a gateway renews its lease.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// Id of the gateway.
    pub gateway: GatewayId,
    /// Position up to which it has applied the stream.
    pub cursor: FeedCursor,
    /// Lease duration: how long after this heartbeat the gateway may still serve from its cache.
    pub valid_for: Duration,
    /// What people see of the gateway.
    pub label: GatewayLabel,
}

/// Reply to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// State of the gateway's cursor.
    pub cursor_check: FeedCheck,
    /// Number of accounts.
    pub accounts: u64,
    /// Whether values in Gatepost's key format need a correct checksum.
    pub checksum: gatepost_domain::key::ChecksumPolicy,
    /// Number of gateways that use the store.
    pub gateways: u32,
}

/// A gateway that is registered with the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredGateway {
    /// Id of the gateway.
    pub id: GatewayId,
    /// Position up to which it has applied the stream.
    pub cursor: Version,
    /// Time at which the gateway stops serving from its cache unless it renews its lease.
    pub lease_expires_at: Timestamp,
    /// Latest format that it can read.
    pub max_format: u32,
    /// What people see of it. Gateways of 0.1.0 send nothing.
    pub label: Option<GatewayLabel>,
    /// Time of its last heartbeat; `None` for gateways of 0.1.0.
    pub last_heartbeat_at: Option<Timestamp>,
}

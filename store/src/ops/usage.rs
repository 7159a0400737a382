//! Types of the usage operations.

use gatepost_domain::partition::PartitionGroup;
use gatepost_domain::time::Timestamp;

/// Grouping of usage rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageGrouping {
    /// One row for all keys of a project together.
    Project,
    /// One row per key.
    Keys,
}

/// Uses in one hour, as stored in the first format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawUsage {
    /// Hours since the epoch.
    pub hour: u64,
    /// Key id; empty for all keys together.
    pub key: String,
    /// Number of uses.
    pub count: u64,
}

/// Last use of a key, as stored in the first format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawLastUse {
    /// Project id; empty if the key has no record any more.
    pub project: String,
    /// Key id.
    pub key: String,
    /// Time of the last use in ms.
    pub ms: u64,
}

/// Some last uses, as stored in the first format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastUsesPage {
    /// Last uses in no order. Redis may return one on several pages.
    pub uses: Vec<RawLastUse>,
    /// Where the next page starts; `None` after the last page.
    pub next: Option<String>,
}

/// The keys of a project in one group of partitions, whose uses are stored together from format 2 on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeyGroup {
    /// Project id.
    pub project: String,
    /// Group of the partitions that the key ids carry.
    pub group: PartitionGroup,
}

/// Uses of one key, or of all keys of a group. Each part is empty if there are no such uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StoredUses {
    /// Those that were added since the last roll-up (see `usage::recent`).
    pub recent: Vec<u8>,
    /// Those that were rolled up (see `usage::past`).
    pub past: Vec<u8>,
}

/// Which part of [`StoredUses`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum UsesPart {
    Recent,
    Past,
}

/// Uses of some keys of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsesPage {
    /// Keys with their uses, in no order. The empty key is all keys of the group together. Redis may return a key on
    /// several pages.
    pub uses: Vec<(String, StoredUses)>,
    /// Where the next page starts; `None` after the last page.
    pub next: Option<String>,
    /// Time of the store at the read.
    pub read_at: Timestamp,
}

/// Replacement of the uses of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RolledUpUses {
    /// Key id; empty for all keys of the group together.
    pub key: String,
    /// The recent uses as read, empty if there were none: nothing happens if there are others.
    pub read: Vec<u8>,
    /// The new uses.
    pub new: StoredUses,
}

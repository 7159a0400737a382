//! Types of the usage operations.

use gatepost_domain::partition::PartitionGroup;

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

/// The keys of a project in one group of partitions, whose uses are stored together from format 2 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyGroup {
    /// Project id.
    pub project: String,
    /// Group of the partitions that the key ids carry.
    pub group: PartitionGroup,
}

/// Uses of one key, packed (see `usage::packed`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedUses {
    /// Key id; empty for all keys of the group together.
    pub key: String,
    /// The uses.
    pub packed: Vec<u8>,
}

/// Packed uses of some keys of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedUsesPage {
    /// The uses, in no order. Redis may return a key on several pages.
    pub uses: Vec<PackedUses>,
    /// Where the next page starts; `None` after the last page.
    pub next: Option<String>,
}

/// Replacement of packed uses, unless they have changed since they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedUsesSwap {
    /// Key id; empty for all keys of the group together.
    pub key: String,
    /// The uses as read.
    pub read: Vec<u8>,
    /// The new uses; `None` to remove them.
    pub new: Option<Vec<u8>>,
}

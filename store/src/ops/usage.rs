//! Types of the usage operations.

/// Grouping of usage rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageGrouping {
    /// One row for all keys of a project together.
    Project,
    /// One row per key.
    Keys,
}

/// Uses in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawUsage {
    /// Hours since the epoch.
    pub hour: u64,
    /// Key id; empty for all keys together.
    pub key: String,
    /// Number of uses.
    pub count: u64,
}

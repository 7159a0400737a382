//! The acts about usage.

/// Whose uses are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageGrouping {
    /// Those of all keys of a project together.
    Project,
    /// Those of each key.
    Keys,
}

/// Uses in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawUsage {
    /// Which hour since the epoch.
    pub hour: u64,
    /// Which key; empty for all together.
    pub key: String,
    /// How many.
    pub count: u64,
}

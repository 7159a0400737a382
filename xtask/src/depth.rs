//! Depth of test steps that run twice.

/// Number of cases. They are the same in each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Only as many as a run of all steps has time for.
    Quick,
    /// All cases, with `--long`.
    Full,
}

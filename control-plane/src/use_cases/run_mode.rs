//! Runs that can be tried first.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunMode {
    Apply,
    /// Nothing is written.
    DryRun,
}

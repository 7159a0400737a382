//! How much of its cases a step tries that comes twice.

/// Either way the cases are the same each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// As many as a run of all steps has time for.
    Quick,
    /// All, with `--long`.
    Full,
}

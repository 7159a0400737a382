//! Store errors: a small closed kind to branch on, and a source to print.

use std::error::Error;
use std::fmt;

/// The kind of a store error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The store is unreachable or did not reply within the deadline. Retrying is safe unless the method says
    /// otherwise; a write may have been applied.
    Unavailable,
    /// The address serves no store, or another one than before. Treat it as an outage, not as "not found".
    WrongStore,
    /// The write was applied, but too few replicas have confirmed it: a failover may lose it. Retrying is safe.
    Unconfirmed,
    /// The store accepts no ordinary writes at the moment: memory or disk is full.
    Full,
    /// A stored value or a reply cannot be decoded.
    Corrupt,
    /// The store's settings, format or master key, or the permissions of the Redis user, are not acceptable.
    /// Retrying does not help.
    Refused,
}

impl StoreErrorKind {
    /// Returns the value of the `kind` label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            StoreErrorKind::Unavailable => "unavailable",
            StoreErrorKind::WrongStore => "wrong-store",
            StoreErrorKind::Unconfirmed => "unconfirmed",
            StoreErrorKind::Full => "full",
            StoreErrorKind::Corrupt => "corrupt",
            StoreErrorKind::Refused => "refused",
        }
    }

    /// Returns an error of this kind with its cause.
    pub fn with(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError { kind: self, source: source.into() }
    }
}

/// An error of the store. Expected outcomes such as a version conflict are return values, not errors.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// Returns the kind, to branch on.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Returns the cause alone, for a message that names the kind itself.
    pub(crate) fn cause(&self) -> &(dyn Error + Send + Sync) {
        self.source.as_ref()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {}: {}", self.kind.as_str(), self.source)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // Display already prints the source itself.
        self.source.source()
    }
}

/// Result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;

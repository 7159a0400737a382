//! Failures of the store: a small closed kind to branch on, a source to print.

use std::error::Error;
use std::fmt;

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The store cannot be reached, or did not answer in time. Safe to try again.
    Unavailable,
    /// Behind the address is no store, or another one than before: an outage, not an absence.
    WrongStore,
    /// It was written, but too few replicas have it: the loss of the master may undo it. Safe to try again.
    Unconfirmed,
    /// The store takes no ordinary writes now: memory, disk or the stream is full.
    Full,
    /// Something that we stored cannot be read.
    Corrupt,
    /// The store's settings, version or master key are not acceptable.
    Refused,
}

impl StoreErrorKind {
    /// Its label in metrics.
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

    /// A failure of this kind with what caused it.
    pub fn with(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError { kind: self, source: source.into() }
    }
}

/// A failure of the store. A refusal that belongs to an act's normal answers is not one.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// The kind, to branch on.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// What caused it, for a sentence that names the kind by itself.
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
        // It is in our own text already.
        self.source.source()
    }
}

/// What every act answers.
pub type Result<T> = std::result::Result<T, StoreError>;

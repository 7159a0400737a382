//! Store errors: a small closed kind to branch on, and a source to print.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

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
    /// All kinds.
    pub const ALL: [Self; 6] = [
        StoreErrorKind::Unavailable,
        StoreErrorKind::WrongStore,
        StoreErrorKind::Unconfirmed,
        StoreErrorKind::Full,
        StoreErrorKind::Corrupt,
        StoreErrorKind::Refused,
    ];

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
        StoreError { kind: self, source: Arc::from(source.into()) }
    }

    /// Returns an error of this kind that says what failed, and the cause of that.
    pub(crate) fn with_context(
        self,
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> StoreError {
        self.with(Context { what: what.into(), source: source.into() })
    }
}

/// An error of the store. Expected outcomes such as a version conflict are return values, not errors.
///
/// Display prints the kind only, [`Error::source`] returns the cause: print `gatepost_runtime::error_chain`.
#[derive(Debug, Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Arc<dyn Error + Send + Sync>,
}

impl StoreError {
    /// Returns the kind, to branch on.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Returns the error with what failed between its kind and its cause.
    pub(crate) fn context(self, what: impl Into<String>) -> Self {
        self.kind.with_context(what, self.source)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == StoreErrorKind::WrongStore {
            return f.write_str("wrong store");
        }
        write!(f, "store {}", self.kind.as_str())
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// What failed, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Context {
    what: String,
    source: Box<dyn Error + Send + Sync>,
}

/// Result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;

#[cfg(test)]
mod tests {
    use super::*;
    use gatepost_runtime::error_chain;

    #[test]
    fn every_level_is_printed_once() {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = StoreErrorKind::Refused.with_context("cannot create the directory /x", denied);
        assert_eq!(error.to_string(), "store refused");
        assert_eq!(StoreErrorKind::WrongStore.with("no store").to_string(), "wrong store");
        assert_eq!(error_chain(&error), "store refused: cannot create the directory /x: permission denied");
        let error = StoreErrorKind::Unavailable.with("no reply within 500 ms").context("cannot reach redis://a");
        let error = StoreErrorKind::Unconfirmed.with(error);
        assert_eq!(
            error_chain(&error),
            "store unconfirmed: store unavailable: cannot reach redis://a: no reply within 500 ms"
        );
    }
}

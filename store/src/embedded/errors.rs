//! Errors of redb as errors of the store.

use crate::error::{StoreError, StoreErrorKind};

/// Maps an error of redb to the store's error kinds.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's kinds are open, and most mean an outage")]
pub(super) fn store_error(error: impl Into<redb::Error>) -> StoreError {
    let error = error.into();
    let kind = match &error {
        redb::Error::Io(source) if source.kind() == std::io::ErrorKind::StorageFull => StoreErrorKind::Full,
        redb::Error::Corrupted(_) | redb::Error::RepairAborted => StoreErrorKind::Corrupt,
        redb::Error::UpgradeRequired(_) => StoreErrorKind::Refused,
        _ => StoreErrorKind::Unavailable,
    };
    kind.with(error)
}

//! The database file: private to its owner, in a directory that is created if missing.

use std::path::Path;

use redb::Database;
use redb::backends::InMemoryBackend;

use super::errors::store_error;
use crate::error::{Result, StoreErrorKind};

/// Name of the database file in the store's directory.
const DATABASE_FILE: &str = "gatepost.redb";
/// Size of redb's page cache in bytes.
const CACHE_BYTES: usize = 64 << 20;

/// Returns whether a directory has a store.
pub(crate) fn database_exists(directory: &Path) -> bool {
    directory.join(DATABASE_FILE).exists()
}

pub(super) fn open_database(path: Option<&Path>) -> Result<Database> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let Some(directory) = path else {
        return builder.create_with_backend(InMemoryBackend::new()).map_err(store_error);
    };
    make_directory(directory)?;
    let file = directory.join(DATABASE_FILE);
    make_private(&file)?;
    builder.create(&file).map_err(|error| {
        if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
            return StoreErrorKind::Refused
                .with(format!("{} is in use by another process: stop that one, or use another store", file.display()));
        }
        store_error(error)
    })
}

fn make_directory(directory: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf());
    created.map_err(|error| {
        let what =
            format!("cannot create the directory {} (choose another with --store embedded:PATH)", absolute.display());
        StoreErrorKind::Refused.with_context(what, error)
    })
}

/// Restricts the file to its owner, including one that an older version of the program created.
fn make_private(file: &Path) -> Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let refused = |error: std::io::Error| StoreErrorKind::Refused.with_context(file.display().to_string(), error);
    let mut options = std::fs::OpenOptions::new();
    let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(file).map_err(refused)?;
    opened.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(refused)
}

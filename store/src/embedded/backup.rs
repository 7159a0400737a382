//! Consistent snapshot of the store in a new file, taken while the store is in use.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, ReadTransaction, ReadableTable, WriteTransaction};

use super::database::{Embedded, read_blocking};
use super::errors::store_error;
use super::tables;
use crate::error::{Result, StoreErrorKind};

impl Embedded {
    pub(crate) async fn backup(&self, file: PathBuf) -> Result<u64> {
        let transaction = self.read()?;
        read_blocking(move || copy(&transaction, &file)).await
    }
}

/// Copies the database and returns the size of the copy in bytes. An incomplete copy is removed.
fn copy(from: &ReadTransaction, file: &Path) -> Result<u64> {
    let to_refused = |error: std::io::Error| StoreErrorKind::Refused.with_context(file.display().to_string(), error);
    let target =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(file).map_err(to_refused)?;
    if let Err(error) = copy_into(from, target) {
        drop(std::fs::remove_file(file));
        return Err(error);
    }
    Ok(std::fs::metadata(file).map_err(to_refused)?.len())
}

fn copy_into(from: &ReadTransaction, file: File) -> Result<()> {
    let backend = FileBackend::new(file).map_err(store_error)?;
    let copy = Database::builder().create_with_backend(backend).map_err(store_error)?;
    let to = copy.begin_write().map_err(store_error)?;
    copy_tables(from, &to)?;
    to.commit().map_err(store_error)
}

fn copy_tables(from: &ReadTransaction, to: &WriteTransaction) -> Result<()> {
    macro_rules! copy {
        ($($name:ident),*) => {$({
            let source = from.open_table(tables::$name).map_err(store_error)?;
            let mut target = to.open_table(tables::$name).map_err(store_error)?;
            for row in source.iter().map_err(store_error)? {
                let (key, value) = row.map_err(store_error)?;
                target.insert(key.value(), value.value()).map_err(store_error)?;
            }
        })*};
    }
    tables::all!(copy);
    Ok(())
}

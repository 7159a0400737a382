//! A copy of the store as it stands at one moment, made while it is used.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, ReadTransaction, ReadableTable, WriteTransaction};

use super::{Embedded, failure, read_aside, tables};
use crate::error::{Result, StoreErrorKind};

impl Embedded {
    pub(crate) async fn backup(&self, file: PathBuf) -> Result<u64> {
        let transaction = self.read()?;
        read_aside(move || copy(&transaction, &file)).await
    }
}

/// Answers the bytes of the copy. One that was not finished is removed.
fn copy(from: &ReadTransaction, file: &Path) -> Result<u64> {
    let refused = |error: std::io::Error| StoreErrorKind::Refused.with(format!("{}: {error}", file.display()));
    let opened = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(file).map_err(refused)?;
    if let Err(error) = copy_into(from, opened) {
        drop(std::fs::remove_file(file));
        return Err(error);
    }
    Ok(std::fs::metadata(file).map_err(refused)?.len())
}

fn copy_into(from: &ReadTransaction, file: File) -> Result<()> {
    let backend = FileBackend::new(file).map_err(failure)?;
    let copy = Database::builder().create_with_backend(backend).map_err(failure)?;
    let to = copy.begin_write().map_err(failure)?;
    copy_tables(from, &to)?;
    to.commit().map_err(failure)
}

fn copy_tables(from: &ReadTransaction, to: &WriteTransaction) -> Result<()> {
    macro_rules! copy {
        ($($name:ident),*) => {$({
            let source = from.open_table(tables::$name).map_err(failure)?;
            let mut target = to.open_table(tables::$name).map_err(failure)?;
            for row in source.iter().map_err(failure)? {
                let (key, value) = row.map_err(failure)?;
                target.insert(key.value(), value.value()).map_err(failure)?;
            }
        })*};
    }
    tables::all!(copy);
    Ok(())
}

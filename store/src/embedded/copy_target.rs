//! The state of a copy into an embedded store.

use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::database::Embedded;
use super::errors::store_error;
use super::meta::put_header;
use super::tables::{self, META};
use crate::copied_entry::{CopyTarget, other_copy};
use crate::error::Result;
use crate::store_header::{self, StoreHeader};

/// Field of the meta table with the mark of a copy that has not ended.
const COPY_FIELD: &str = "copy";

impl Embedded {
    /// Returns what is there.
    pub(crate) async fn copy_target(&self) -> Result<CopyTarget> {
        let transaction = self.read()?;
        let meta = transaction.open_table(META).map_err(store_error)?;
        if let Some(mark) = meta.get(COPY_FIELD).map_err(store_error)? {
            return Ok(CopyTarget::Unfinished(mark.value().to_vec()));
        }
        Ok(if self.filled_tables()?.is_empty() { CopyTarget::Empty } else { CopyTarget::InUse })
    }

    /// Returns the names of the tables that have rows.
    pub(crate) fn filled_tables(&self) -> Result<Vec<&'static str>> {
        let transaction = self.read()?;
        let mut filled = Vec::new();
        macro_rules! check {
            ($($name:ident),*) => {$({
                let table = transaction.open_table(tables::$name).map_err(store_error)?;
                filled.extend((!table.is_empty().map_err(store_error)?).then_some(stringify!($name)));
            })*};
        }
        tables::all!(check);
        Ok(filled)
    }

    /// Returns the names of the tables that have no rows.
    #[cfg(test)]
    pub(crate) fn empty_tables(&self) -> Result<Vec<&'static str>> {
        let filled = self.filled_tables()?;
        macro_rules! names {
            ($($name:ident),*) => { vec![$(stringify!($name)),*] };
        }
        Ok(tables::all!(names).into_iter().filter(|name| !filled.contains(name)).collect())
    }

    /// Replaces the mark of a copy, see `Backend`.
    pub(crate) async fn mark_copy(&self, expected: Option<Vec<u8>>, mark: Vec<u8>) -> Result<()> {
        self.perform(move |transaction| {
            let mut meta = transaction.open_table(META).map_err(store_error)?;
            check_mark(&meta, expected.as_deref())?;
            for (field, value) in store_header::unfinished_copy_fields() {
                meta.insert(field, value).map_err(store_error)?;
            }
            meta.insert(COPY_FIELD, mark.as_slice()).map(drop).map_err(store_error)
        })
        .await
    }

    /// Removes what an earlier copy has written.
    pub(crate) async fn discard_copy(&self) -> Result<()> {
        self.perform(discard).await
    }

    /// Ends a copy, see `Backend`.
    pub(crate) async fn finish_copy(&self, mark: Vec<u8>, header: StoreHeader, _waiting_deliveries: u64) -> Result<()> {
        self.perform(move |transaction| {
            let mut meta = transaction.open_table(META).map_err(store_error)?;
            check_mark(&meta, Some(&mark))?;
            put_header(&mut meta, &header)?;
            meta.remove(COPY_FIELD).map(drop).map_err(store_error)
        })
        .await
    }
}

/// Checks that the mark is as expected: without one, that there is no store.
fn check_mark(meta: &impl ReadableTable<&'static str, &'static [u8]>, expected: Option<&[u8]>) -> Result<()> {
    let current = meta.get(COPY_FIELD).map_err(store_error)?.map(|mark| mark.value().to_vec());
    let is_store = current.is_none() && meta.get("id").map_err(store_error)?.is_some();
    if current.as_deref() == expected && !is_store { Ok(()) } else { Err(other_copy()) }
}

fn discard(transaction: &WriteTransaction) -> Result<()> {
    macro_rules! empty {
        ($($name:ident),*) => {$({
            transaction.delete_table(tables::$name).map_err(store_error)?;
            transaction.open_table(tables::$name).map_err(store_error)?;
        })*};
    }
    tables::all!(empty);
    Ok(())
}

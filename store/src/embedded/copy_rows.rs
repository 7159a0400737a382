//! Reading the rows of a table as entries, in parts.

use std::ops::Bound;

use redb::{Key, ReadOnlyTable, ReadTransaction, TableDefinition, Value};

use super::errors::store_error;
use crate::copied_entry::{CopiedEntry, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES};
use crate::error::Result;

/// Rows of one table, as entries.
#[derive(Default)]
pub(super) struct TablePage {
    pub(super) entries: Vec<CopiedEntry>,
    /// Key of the last row; `None` if there are no more rows.
    pub(super) last: Option<Vec<u8>>,
}

/// Reads rows after a key until a batch is complete.
pub(super) fn read_rows<K: Key + 'static, V: Value + 'static>(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
    after: Option<&[u8]>,
    mut convert: impl for<'a> FnMut(K::SelfType<'a>, V::SelfType<'a>) -> Result<Option<CopiedEntry>>,
) -> Result<TablePage> {
    let table: ReadOnlyTable<K, V> = transaction.open_table(table).map_err(store_error)?;
    let start = after.map_or(Bound::Unbounded, |key| Bound::Excluded(K::from_bytes(key)));
    let (mut page, mut bytes) = (TablePage::default(), 0);
    for row in table.range::<K::SelfType<'_>>((start, Bound::Unbounded)).map_err(store_error)? {
        let (key, value) = row.map_err(store_error)?;
        bytes += V::as_bytes(&value.value()).as_ref().len();
        page.entries.extend(convert(key.value(), value.value())?);
        if page.entries.len() >= MAX_BATCH_ENTRIES || bytes >= MAX_BATCH_BYTES {
            page.last = Some(K::as_bytes(&key.value()).as_ref().to_vec());
            break;
        }
    }
    Ok(page)
}

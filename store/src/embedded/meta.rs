//! The meta table: the store's header and its numbers.

use gatepost_domain::id::StoreId;
use redb::{ReadTransaction, ReadableTable};

use super::errors::store_error;
use super::tables::META;
use crate::error::{Result, StoreErrorKind};
use crate::format::Format;
use crate::store_header::{self, StoreHeader, checksum_mode};

pub(super) fn read_header(transaction: &ReadTransaction) -> Result<Option<StoreHeader>> {
    let meta = transaction.open_table(META).map_err(store_error)?;
    let read_field = |name: &str| -> Result<Option<Vec<u8>>> {
        Ok(meta.get(name).map_err(store_error)?.map(|bytes| bytes.value().to_vec()))
    };
    let Some(id) = read_field("store_id")?.or(read_field("id")?) else { return Ok(None) };
    let id = std::str::from_utf8(&id).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    // The first format has no format numbers.
    let read_format = |name: &str| -> Result<u32> {
        let number = read_number(&meta, name)?.max(u64::from(Format::FIRST.number()));
        u32::try_from(number).map_err(|error| StoreErrorKind::Corrupt.with(error))
    };
    Ok(Some(StoreHeader {
        id: StoreId::parse(id).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        envelope: read_field("sealed_envelope")?.or(read_field("envelope")?).unwrap_or_default(),
        checksum: checksum_mode(read_number(&meta, "loose_checksum")? > 0),
        format: read_format("format")?,
        min_reader: read_format("min_reader")?,
    }))
}

pub(super) fn put_header(meta: &mut redb::Table<'_, &'static str, &'static [u8]>, header: &StoreHeader) -> Result<()> {
    for (name, value) in store_header::text_fields(header) {
        meta.insert(name, value.as_slice()).map_err(store_error)?;
    }
    if header.format > Format::FIRST.number() {
        set_number(meta, "format", u64::from(header.format))?;
        set_number(meta, "min_reader", u64::from(header.min_reader))?;
    }
    Ok(())
}

/// Reads a number from the meta table; 0 if it was never set.
pub(super) fn read_number(meta: &impl ReadableTable<&'static str, &'static [u8]>, name: &str) -> Result<u64> {
    let bytes = meta.get(name).map_err(store_error)?;
    Ok(bytes.and_then(|bytes| bytes.value().try_into().ok()).map_or(0, u64::from_be_bytes))
}

pub(super) fn set_number(
    meta: &mut redb::Table<'_, &'static str, &'static [u8]>,
    name: &str,
    value: u64,
) -> Result<()> {
    meta.insert(name, value.to_be_bytes().as_slice()).map_err(store_error)?;
    Ok(())
}

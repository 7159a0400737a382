//! The store header in Redis.

use gatepost_domain::id::StoreId;

use crate::error::{Result, StoreErrorKind};
use crate::format::Format;
use crate::store_header::{self, StoreHeader, checksum_mode};

/// Fields of the store header, in the order in which [`parse_header`] reads them.
pub(super) const HEADER_FIELDS: [&str; 7] =
    ["store_id", "sealed_envelope", "id", "envelope", "loose-checksum", "format", "min_reader"];

/// Encodes a header as fields; the first format has no number.
pub(super) fn encode_header(header: &StoreHeader) -> Vec<(&'static str, Vec<u8>)> {
    let mut fields = store_header::text_fields(header);
    if header.format > Format::FIRST.number() {
        fields.push(("format", header.format.to_string().into_bytes()));
        fields.push(("min_reader", header.min_reader.to_string().into_bytes()));
    }
    fields
}

pub(super) fn parse_header(value: ::redis::Value) -> Result<Option<StoreHeader>> {
    type Texts = (Option<String>, Option<Vec<u8>>, Option<String>, Option<Vec<u8>>);
    type Numbers = (Option<u64>, Option<u32>, Option<u32>);
    let corrupt = |error| StoreErrorKind::Corrupt.with(error);
    let values: Vec<::redis::Value> = ::redis::from_redis_value(value).map_err(corrupt)?;
    let (texts, numbers) = values
        .split_at_checked(4)
        .ok_or_else(|| StoreErrorKind::Corrupt.with("the store header has too few fields"))?;
    let list = |values: &[::redis::Value]| ::redis::Value::Array(values.to_vec());
    let (store_id, sealed_envelope, id, envelope): Texts = ::redis::from_redis_value(list(texts)).map_err(corrupt)?;
    let (has_loose_checksum, format, min_reader): Numbers =
        ::redis::from_redis_value(list(numbers)).map_err(corrupt)?;
    let Some(id) = store_id.or(id) else { return Ok(None) };
    Ok(Some(StoreHeader {
        id: StoreId::parse(&id).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        envelope: sealed_envelope.or(envelope).unwrap_or_default(),
        checksum: checksum_mode(has_loose_checksum.unwrap_or(0) > 0),
        format: format.unwrap_or(Format::FIRST.number()),
        min_reader: min_reader.unwrap_or(Format::FIRST.number()),
    }))
}

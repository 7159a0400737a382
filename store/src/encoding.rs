//! Stored encodings of records and of the embedded store's stream entries, as values of their own, for fuzz targets.
//! Their content stays private to this crate. Not part of the program.

use gatepost_domain::change::{Action, Invalidation, Propagation};
use gatepost_domain::id::EventId;
use gatepost_domain::record::Record;
use gatepost_domain::time::Version;

use crate::audit_entry::AuditEntry;
use crate::embedded::entries;
use crate::error::Result;
use crate::ops::{EntryPayload, RawEntry, RawRecord};
use crate::schema::UnknownFields;
use crate::{audit_entry, record_format, schema};

/// A stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRecord(RawRecord);

impl EncodedRecord {
    /// Decodes the lines of a record.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`](crate::StoreErrorKind::Corrupt) if a line is missing or cannot be parsed.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        record_format::decode_record(bytes, None).map(Self)
    }

    /// Encodes the record.
    pub fn encode(&self) -> Vec<u8> {
        record_format::encode_record(self.0.version, &self.0.event, &self.0.image)
    }

    /// Decodes the content of the record with this name.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`](crate::StoreErrorKind::Corrupt) if the name names no known kind of record, or the
    /// content is not of its schema.
    pub fn content(&self, name: &str) -> Result<(Record, UnknownFields)> {
        schema::decode(name, &self.0.image.public, Some(&self.0.image.private))
    }

    /// Returns this version of a record with other content.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`](crate::StoreErrorKind::Corrupt) if the metadata of a key is not JSON.
    pub fn with_content(&self, record: &Record, unknown: &UnknownFields) -> Result<Self> {
        Ok(Self(RawRecord { image: schema::encode(record, unknown)?, ..self.0.clone() }))
    }
}

/// A stored stream entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedEntry(RawEntry);

impl EncodedEntry {
    /// Makes an entry at the first position. `metadata` and `image` are one line of JSON each.
    pub fn new(
        event: EventId,
        action: Action,
        invalidation: Invalidation,
        propagation: Propagation,
        metadata: &str,
        image: &str,
    ) -> Self {
        let (metadata, image) = (metadata.as_bytes().to_vec(), image.as_bytes().to_vec());
        let payload = EntryPayload { action, invalidation, propagation, metadata, image };
        Self(RawEntry { version: Version::ZERO, event: Some(event), payload: Ok(payload) })
    }

    /// Decodes an entry at the first position. Bytes that cannot be decoded are an entry too.
    pub fn decode(bytes: &[u8]) -> Self {
        Self(entries::decode(Version::ZERO, bytes))
    }

    /// Encodes the entry; `None` if it could not be decoded completely.
    pub fn encode(&self) -> Option<Result<Vec<u8>>> {
        self.0.event.as_ref().zip(self.0.payload.as_ref().ok()).map(|(event, payload)| entries::encode(event, payload))
    }

    /// Returns what the entry invalidates, also if it cannot be decoded.
    pub fn invalidation(&self) -> &Invalidation {
        match &self.0.payload {
            Ok(payload) => &payload.invalidation,
            Err(undecodable) => &undecodable.invalidation,
        }
    }

    /// Decodes the entry.
    pub fn decoded(&self) -> AuditEntry {
        audit_entry::decode(self.0.clone())
    }
}

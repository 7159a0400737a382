//! What a store says of itself, and how that is written in its format.

use gatepost_domain::id::StoreId;

use crate::format::Format;

/// What a store knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreHeader {
    /// Which store it is.
    pub(crate) id: StoreId,
    /// The sealed pepper and data key.
    pub(crate) envelope: Vec<u8>,
    /// The number of the format in which it is written.
    pub(crate) format: u32,
    /// The least format that a program must be able to read.
    pub(crate) min_reader: u32,
    /// Whether values of our shape must have a right checksum.
    pub(crate) checksum: gatepost_domain::key::ChecksumPolicy,
}

/// What v0.1.0, which knows no formats, finds in the place of a store's id and envelope from format 2 on. It refuses to
/// start with the sentence, and each operation of a process that still runs fails as on another store.
const DECOY_ID: &str = "st_00thisStoreNeedsGatepost02OrLater";
/// See [`DECOY_ID`]; JSON, as an envelope is.
const DECOY_ENVELOPE: &str = "\"this store is in a later format: it needs gatepost 0.2 or later\"";

/// The parts of a head that are texts, by the names of their fields.
pub(crate) fn text_fields(header: &StoreHeader) -> Vec<(&'static str, Vec<u8>)> {
    let (id, envelope) = (header.id.as_str().as_bytes().to_vec(), header.envelope.clone());
    if header.format == Format::FIRST.number() {
        return vec![("id", id), ("envelope", envelope)];
    }
    let decoys = [("id", DECOY_ID.into()), ("envelope", DECOY_ENVELOPE.into())];
    decoys.into_iter().chain([("store_id", id), ("sealed_envelope", envelope)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v0_1_0_can_parse_the_decoys() {
        assert!(StoreId::parse(DECOY_ID).is_ok());
        assert!(serde_json::from_str::<String>(DECOY_ENVELOPE).is_ok_and(|sentence| sentence.contains("gatepost 0.2")));
    }
}

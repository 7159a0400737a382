//! The store header: identity, envelope and format, and how it is written in each format.

use gatepost_domain::id::StoreId;
use gatepost_domain::key::ChecksumPolicy;

use crate::format::Format;

/// The store's description of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreHeader {
    /// The store's id.
    pub(crate) id: StoreId,
    /// The sealed pepper and data key.
    pub(crate) envelope: Vec<u8>,
    /// Number of the format in which the store is written.
    pub(crate) format: u32,
    /// Lowest format number that a program must be able to read to use the store.
    pub(crate) min_reader: u32,
    /// Whether values in Gatepost's key format need a correct checksum.
    pub(crate) checksum: ChecksumPolicy,
}

/// Decoy for v0.1.0, which does not know formats: from format 2 on it finds this instead of the store's id, and
/// [`DECOY_ENVELOPE`] instead of the envelope. It refuses to start and prints the sentence in the envelope; in a
/// process that still runs, each operation fails as on another store.
const DECOY_ID: &str = "st_00thisStoreNeedsGatepost02OrLater";
/// See [`DECOY_ID`]; JSON, like an envelope.
const DECOY_ENVELOPE: &str = "\"this store is in a later format: it needs gatepost 0.2 or later\"";

/// In place of the store's id while the store is copied to this address.
const UNFINISHED_COPY_ID: &str = "st_00thisCopyIsNotFinished00000000";
/// See [`UNFINISHED_COPY_ID`]. Earlier releases print it, as it is no envelope.
const UNFINISHED_COPY_ENVELOPE: &str = "\"the copy into this store is not finished\"";

/// Returns the fields that a store has while it is copied: no process opens it, and none creates another one.
pub(crate) fn unfinished_copy_fields() -> [(&'static str, &'static [u8]); 2] {
    [("id", UNFINISHED_COPY_ID.as_bytes()), ("envelope", UNFINISHED_COPY_ENVELOPE.as_bytes())]
}

/// Returns whether the header is that of a store that is being copied, or whose copy was interrupted.
pub(crate) fn is_unfinished_copy(header: &StoreHeader) -> bool {
    header.id.as_str() == UNFINISHED_COPY_ID
}

/// Returns the checksum policy for the store's `loose-checksum` flag.
pub(crate) fn checksum_mode(loose: bool) -> ChecksumPolicy {
    if loose { ChecksumPolicy::Lenient } else { ChecksumPolicy::Strict }
}

/// Returns the name of the field that has the envelope.
pub(crate) fn envelope_field(format: u32) -> &'static str {
    if format == Format::FIRST.number() { "envelope" } else { "sealed_envelope" }
}

/// Returns the text fields of a header by field name.
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
        assert!(StoreId::parse(DECOY_ID).is_ok() && StoreId::parse(UNFINISHED_COPY_ID).is_ok());
        assert!(serde_json::from_str::<String>(DECOY_ENVELOPE).is_ok_and(|sentence| sentence.contains("gatepost 0.2")));
    }
}

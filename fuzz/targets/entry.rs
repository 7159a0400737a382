//! Fuzz target of stream entries: arbitrary bytes are decoded or reported, and what is encoded is decoded as it was.
//! The input is a stored entry, or three bytes for the kind of an entry, and two lines: metadata and image.
#![no_main]

use gatepost_domain::change::{Action, Invalidation, Propagation};
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{EventId, ProjectId};
use gatepost_store::encoding::EncodedEntry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(&EncodedEntry::decode(bytes));
    if let Some(entry) = parse(bytes) {
        check(&entry);
    }
});

fn check(entry: &EncodedEntry) {
    if let Some(encoded) = entry.encode() {
        let bytes = encoded.expect("text can be encoded");
        assert_eq!(EncodedEntry::decode(&bytes), *entry);
    }
    // A gateway must apply the invalidation of an entry, whether it can decode the rest or not.
    let applied = match entry.decoded().content {
        Ok(audit) => audit.invalidation,
        Err(undecodable) => undecodable.invalidation,
    };
    assert_eq!(applied, *entry.invalidation());
}

fn parse(bytes: &[u8]) -> Option<EncodedEntry> {
    let (kind, lines) = bytes.split_first_chunk::<3>()?;
    let (metadata, image) = std::str::from_utf8(lines).ok()?.split_once('\n')?;
    let action = *Action::ALL.get(usize::from(kind[0]))?;
    let invalidation = match kind[1] % 4 {
        0 => Invalidation::None,
        1 => Invalidation::Digests((0..kind[1] / 4).map(|byte| Digest::from_bytes([byte; 32])).collect()),
        2 => Invalidation::Project(ProjectId::parse("prj_00project").expect("the id is valid")),
        _ => Invalidation::All,
    };
    let propagation = if kind[2].is_multiple_of(2) { Propagation::Relaxed } else { Propagation::Fenced };
    let event = EventId::parse("evt_00event").expect("the id is valid");
    Some(EncodedEntry::new(event, action, invalidation, propagation, metadata, image))
}

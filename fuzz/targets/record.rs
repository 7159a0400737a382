//! Fuzz target of stored records: arbitrary bytes are decoded or reported, and what is encoded is decoded as it was.
//! The first line of the input is the record's name, the rest the record.
#![no_main]

use gatepost_store::encoding::EncodedRecord;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(record) = EncodedRecord::decode(&input[end + 1..]) else { return };
    check_lines(&record);
    if let Ok(name) = std::str::from_utf8(&input[..end]) {
        check_content(name, &record);
    }
});

fn check_lines(record: &EncodedRecord) {
    assert_eq!(EncodedRecord::decode(&record.encode()).as_ref().ok(), Some(record));
}

/// A record that is read and written back is the same, with the members that this program does not know.
fn check_content(name: &str, stored: &EncodedRecord) {
    let Ok((record, unknown)) = stored.content(name) else { return };
    let written = stored.with_content(&record, &unknown).expect("a decoded record can be encoded");
    // Each part of the content is one line.
    check_lines(&written);
    assert_eq!(written.content(name).ok(), Some((record, unknown)));
}

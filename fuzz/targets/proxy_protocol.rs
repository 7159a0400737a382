//! Fuzz target of PROXY protocol headers: a header has one reading, however it is cut into packets and whatever comes
//! behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_protocol::{MAX_HEADER_BYTES, Parsed, parse};

#[path = "../../gateway/src/proxy_protocol.rs"]
mod proxy_protocol;

fuzz_target!(|input: &[u8]| {
    let input = &input[..input.len().min(MAX_HEADER_BYTES)];
    let Ok(parsed) = parse(input) else { return };
    let Parsed::Header { length, client } = parsed else {
        // What it can become begins like one of the two versions.
        let is_beginning = |of: &[u8]| input.starts_with(of) || of.starts_with(input);
        assert!(is_beginning(b"PROXY") || is_beginning(b"\r\n\r\n\0\r\nQUIT\n"));
        return;
    };
    assert!((15..=input.len()).contains(&length));
    assert_eq!(parse(&input[..length]), Ok(parsed), "what comes behind a header changes it");
    for cut in 0..length {
        assert_eq!(parse(&input[..cut]), Ok(Parsed::Incomplete), "the first {cut} bytes of a header");
    }
    if let (Some(client), Some(line)) = (client, input[..length].strip_prefix(b"PROXY ")) {
        let line = std::str::from_utf8(line).expect("it is ASCII");
        let fields: Vec<&str> = line.trim_end_matches("\r\n").split(' ').collect();
        assert_eq!(fields[0], if client.is_ipv4() { "TCP4" } else { "TCP6" });
        assert_eq!(fields[1].parse(), Ok(client.ip()));
        assert_eq!(fields[3].parse(), Ok(client.port()));
        assert_eq!(fields.len(), 5);
    }
});

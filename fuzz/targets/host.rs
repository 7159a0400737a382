//! Fuzz target of `Host` values: what is accepted is one host, with the same reading in the crate `http`.
#![no_main]

use gatepost_domain::host::{is_same_host, parse_host};
use http::uri::Authority;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(host) = parse_host(text) {
        check(text, host);
    }
});

fn check(text: &str, host: &str) {
    assert!(text.starts_with(host) && !host.is_empty());
    assert_eq!(parse_host(host), Some(host), "the host of {text:?} is none by itself");
    assert_eq!(parse_host(&format!("{host}.:65535")).unwrap_or(host), host);
    assert_eq!(parse_host(&format!("{host}:80")), Some(host));
    assert!(is_same_host(host, host));
    assert!(is_same_host(&host.to_ascii_uppercase(), &host.to_ascii_lowercase()));
    assert!(!host.contains(['/', '@', '?', '#', ',', '\\', '%', ' ']), "{text:?}");
    let authority: Authority = text.parse().expect("an accepted host is an authority");
    assert_eq!(authority.host().trim_end_matches('.'), host);
}

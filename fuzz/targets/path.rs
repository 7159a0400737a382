//! Fuzz target of request paths: an accepted path has one reading, also for the parser of URLs that browsers have.
#![no_main]

use gatepost_domain::path::{CanonicalPath, PathRules, Quirks, other_readings, unescape};
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use url::Url;

fuzz_target!(|raw: &str| {
    if let Ok(path) = CanonicalPath::parse(raw) {
        check(raw, &path);
    }
    let all = Quirks::ENCODED_SLASH.union(Quirks::SEMICOLON).union(Quirks::RAW).union(Quirks::NON_UTF8);
    let all = all.union(Quirks::RAW_UTF8);
    if let Ok(path) = CanonicalPath::parse_accepting(raw, all) {
        check_accepted(raw, &path);
    }
});

/// A path with quirks is refused without them, and no reading of it has a segment of dots.
fn check_accepted(raw: &str, path: &CanonicalPath<'_>) {
    assert_eq!(CanonicalPath::parse(raw).is_ok(), path.quirks().is_empty(), "{raw:?}");
    let upstream = path.for_upstream(raw, &PathRules::default());
    assert_eq!(decode(&upstream), decode(raw), "{raw:?} goes upstream as another path");
    for reading in other_readings(path.as_str()).unwrap_or_default() {
        assert!(reading.starts_with(b"/"), "{raw:?}");
        let mut segments = reading.split(|byte| *byte == b'/');
        assert!(!segments.any(|segment| matches!(segment, b"." | b"..")), "{raw:?} has a segment of dots");
    }
}

fn check(raw: &str, path: &CanonicalPath<'_>) {
    let canonical = path.as_str();
    let again = CanonicalPath::parse(canonical).expect("a canonical path is a path");
    assert_eq!(again.as_str(), canonical, "the canonical form of {raw:?} has another one");
    assert!(again.is_unchanged(), "the canonical form of {raw:?} is not borrowed");
    assert_eq!(*unescape(canonical), decode(canonical));
    assert_eq!(read_by_browsers(canonical), canonical, "browsers read {raw:?} differently");
    assert_eq!(decode(&read_by_browsers(raw)), decode(canonical), "{raw:?} and its canonical form differ");
    let decoded = String::from_utf8(decode(canonical)).expect("an accepted path is UTF-8");
    assert!(!decoded.contains(['\\', ';']) && !decoded.contains(char::is_control), "{raw:?}");
    assert!(!decoded.contains("//"), "{raw:?} has an empty segment");
    assert!(!decoded.split('/').any(|segment| matches!(segment, "." | "..")), "{raw:?} has a segment of dots");
}

/// The path as the URL standard reads it, which removes segments of dots.
fn read_by_browsers(path: &str) -> String {
    let url = Url::parse(&format!("http://host{path}")).expect("an accepted path makes a URL");
    assert_eq!((url.query(), url.fragment()), (None, None));
    url.path().to_owned()
}

fn decode(path: &str) -> Vec<u8> {
    percent_decode_str(path).collect()
}

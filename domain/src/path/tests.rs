//! Tests of paths: tricks, equivalent forms, and laws.

use PathError::*;
use proptest::prelude::*;

use super::escapes::{ESCAPE_BYTES, escaped_byte};
use super::*;

const TRICKS: [(&str, PathError); 82] = [
    ("", NotAbsolute),
    ("*", NotAbsolute),
    ("api", NotAbsolute),
    ("http://host/api", NotAbsolute),
    ("%2fapi", NotAbsolute),
    ("//", EmptySegment),
    ("//admin", EmptySegment),
    ("/api//admin", EmptySegment),
    ("/api//", EmptySegment),
    ("/.", DotSegment),
    ("/..", DotSegment),
    ("/./admin", DotSegment),
    ("/x/../admin", DotSegment),
    ("/x/..", DotSegment),
    ("/%2e%2e/admin", DotSegment),
    ("/%2E%2e/admin", DotSegment),
    ("/.%2e/admin", DotSegment),
    ("/%2e./admin", DotSegment),
    ("/%2e/admin", DotSegment),
    ("/.../admin", DotSegment),
    ("/..%20/admin", DotSegment),
    ("/%20/admin", DotSegment),
    ("/x/..%3f/admin", DotSegment),
    ("/.%23", DotSegment),
    ("/..;/admin", PathParameter),
    ("/.;x=1/admin", PathParameter),
    ("/;/admin", PathParameter),
    ("/admin;x=1/users", PathParameter),
    ("/..%3b/admin", PathParameter),
    ("/..%3B/admin", PathParameter),
    ("/..\\admin", Backslash),
    ("\\admin", NotAbsolute),
    ("/..%5cadmin", Backslash),
    ("/..%5Cadmin", Backslash),
    ("/api%2fadmin", EncodedSlash),
    ("/api%2Fadmin", EncodedSlash),
    ("/..%2f..%2fadmin", EncodedSlash),
    ("/admin%00", EncodedControl),
    ("/admin%00.js", EncodedControl),
    ("/admin%0a", EncodedControl),
    ("/admin%0d%0aX:1", EncodedControl),
    ("/admin%09", EncodedControl),
    ("/admin%7f", EncodedControl),
    ("/admin%c2%85", EncodedControl),
    ("/admin\0", InvalidCharacter),
    ("/admin\r\n", InvalidCharacter),
    ("/admin\t", InvalidCharacter),
    ("/admin\u{7f}", InvalidCharacter),
    ("/ad min", InvalidCharacter),
    ("/admin ", InvalidCharacter),
    ("/admin#x", InvalidCharacter),
    ("/admin?x", InvalidCharacter),
    ("/über", InvalidCharacter),
    ("/admin\u{2024}", InvalidCharacter),
    ("/\u{ff0e}\u{ff0e}/admin", InvalidCharacter),
    ("/a|b", InvalidCharacter),
    ("/[admin]", InvalidCharacter),
    ("/\"admin\"", InvalidCharacter),
    ("/%", MalformedEscape),
    ("/%2", MalformedEscape),
    ("/%zz", MalformedEscape),
    ("/%2g", MalformedEscape),
    ("/%u002e%u002e/admin", MalformedEscape),
    ("/%+2e/admin", MalformedEscape),
    ("/%%32%65/admin", MalformedEscape),
    ("/%252e%252e/admin", DoubleEncoding),
    ("/%252E/admin", DoubleEncoding),
    ("/%252fadmin", DoubleEncoding),
    ("/%255cadmin", DoubleEncoding),
    ("/%25252e/admin", DoubleEncoding),
    ("/%25%32%65/admin", DoubleEncoding),
    ("/%25%32e/admin", DoubleEncoding),
    ("/%2500", DoubleEncoding),
    ("/%c0%ae%c0%ae/admin", NotUtf8),
    ("/%c0%afadmin", NotUtf8),
    ("/%e0%80%afadmin", NotUtf8),
    ("/%ff", NotUtf8),
    ("/%80", NotUtf8),
    ("/%c3", NotUtf8),
    ("/%c3%", MalformedEscape),
    ("/%c3x", NotUtf8),
    ("/%ed%a0%80", NotUtf8),
];

#[test]
fn tricks_are_refused() {
    for (raw, error) in TRICKS {
        assert_eq!(CanonicalPath::parse(raw), Err(error), "{raw:?}");
    }
}

#[test]
fn equivalent_forms_become_one() {
    for (raw, canonical) in [
        ("/", "/"),
        ("/api", "/api"),
        ("/api/", "/api/"),
        ("/API", "/API"),
        ("/%61pi", "/api"),
        ("/%41pi/%7Euser", "/Api/~user"),
        ("/a%2eb", "/a.b"),
        ("/a..b/.hidden/v1.2", "/a..b/.hidden/v1.2"),
        ("/main...branch", "/main...branch"),
        ("/a%3ab%3fc%23d", "/a%3Ab%3Fc%23d"),
        ("/%c3%bcber%20uns", "/%C3%BCber%20uns"),
        ("/%f0%9f%98%80", "/%F0%9F%98%80"),
        ("/100%25", "/100%25"),
        ("/100%25-sure", "/100%25-sure"),
        ("/v1/users/7:activate", "/v1/users/7:activate"),
        ("/!$&'()*+,=:@-._~", "/!$&'()*+,=:@-._~"),
    ] {
        assert_eq!(CanonicalPath::parse(raw).map(|path| path.as_str().to_owned()), Ok(canonical.to_owned()));
    }
}

#[test]
fn a_canonical_path_is_borrowed() {
    for raw in ["/api/x", "/%C3%BC/100%25"] {
        assert!(matches!(CanonicalPath::parse(raw), Ok(CanonicalPath { text: Cow::Borrowed(_), .. })), "{raw}");
    }
}

#[test]
fn length_has_a_bound() {
    let longest = format!("/{}", "a".repeat(MAX_PATH_BYTES - 1));
    assert!(CanonicalPath::parse(&longest).is_ok());
    assert_eq!(CanonicalPath::parse(&format!("{longest}a")), Err(TooLong));
}

/// Parses a path that may have all quirks.
fn accepting(raw: &str) -> Result<CanonicalPath<'_>, PathError> {
    let all = Quirks::ENCODED_SLASH.union(Quirks::SEMICOLON).union(Quirks::RAW).union(Quirks::NON_UTF8);
    let all = all.union(Quirks::RAW_UTF8);
    CanonicalPath::parse_accepting(raw, all)
}

#[test]
fn quirks_are_noted_and_each_alone_is_enough_to_refuse_a_path() {
    for (raw, canonical, quirk) in [
        ("/a%2fb", "/a%2Fb", Quirks::ENCODED_SLASH),
        ("/a;x=1/b", "/a;x=1/b", Quirks::SEMICOLON),
        ("/a%3bx", "/a%3Bx", Quirks::SEMICOLON),
        ("/a|[b]%61", "/a%7C%5Bb%5Da", Quirks::RAW),
        ("/über/日", "/%C3%BCber/%E6%97%A5", Quirks::RAW_UTF8),
        ("/%c3%bc/ü", "/%C3%BC/%C3%BC", Quirks::RAW_UTF8),
        ("/caf%e9", "/caf%E9", Quirks::NON_UTF8),
        ("/%C9t%e9", "/%C9t%E9", Quirks::NON_UTF8),
        ("/%61", "/a", Quirks::NONE),
    ] {
        let path = CanonicalPath::parse_accepting(raw, quirk).unwrap();
        assert_eq!((path.as_str(), path.quirks()), (canonical, quirk), "{raw}");
        assert_eq!(CanonicalPath::parse(raw).is_err(), !quirk.is_empty(), "{raw}");
        let again = CanonicalPath::parse_accepting(canonical, quirk).unwrap();
        assert!(again.is_unchanged(), "{raw}");
    }
}

#[test]
fn what_no_rule_accepts_stays_an_error() {
    for (raw, error) in [
        ("/a\\b", Backslash),
        ("/a%5cb", Backslash),
        ("/a%00", EncodedControl),
        ("/a%252fb", DoubleEncoding),
        ("/a%25%32%66b", DoubleEncoding),
        ("/%c0%afadmin", NotUtf8),
        ("/%c0%ae%c0%ae/admin", NotUtf8),
        ("/%e0%80%afadmin", NotUtf8),
        ("/%f0%80%80%afadmin", NotUtf8),
        ("/a%2f%zz", MalformedEscape),
        ("/a//b%2f", EmptySegment),
        ("/a/../b%2f", DotSegment),
        ("/a\u{85}", InvalidCharacter),
        ("/ü/../b", DotSegment),
        ("/ü b", InvalidCharacter),
        ("/a b", InvalidCharacter),
        ("/a#b", InvalidCharacter),
        ("/a?b", InvalidCharacter),
        ("/a\t", InvalidCharacter),
    ] {
        assert_eq!(accepting(raw), Err(error), "{raw:?}");
    }
}

#[test]
fn the_path_upstream_keeps_what_the_rules_say() {
    let rules = |raw, unreserved| PathRules { raw, unreserved, ..PathRules::default() };
    let sent = "/a%2fb/%7e|x;y%e9";
    let path = accepting(sent).unwrap();
    for (rules, expected) in [
        (rules(RawRule::Encode, EscapeRule::Decode), "/a%2Fb/~%7Cx;y%E9"),
        (rules(RawRule::Keep, EscapeRule::Decode), "/a%2Fb/~|x;y%E9"),
        (rules(RawRule::Encode, EscapeRule::Keep), "/a%2fb/%7e%7Cx;y%e9"),
        (rules(RawRule::Keep, EscapeRule::Keep), sent),
    ] {
        assert_eq!(path.for_upstream(sent, &rules), expected);
    }
    let plain = accepting("/a").unwrap();
    assert!(matches!(plain.for_upstream("/a", &PathRules::default()), Cow::Borrowed("/a")));
}

#[test]
fn an_escaped_slash_is_no_separator_of_a_decoded_path() {
    assert_eq!(*unescape("/a%2Fb%3Ac"), *b"/a%2Fb:c");
}

#[test]
fn readings_decode_twice_and_cut_parameters() {
    let readings = |canonical: &str| -> Vec<String> {
        let readings = other_readings(canonical).unwrap();
        readings.into_iter().map(|reading| String::from_utf8(reading).unwrap()).collect()
    };
    assert_eq!(readings("/a/b"), ["/a/b"]);
    assert_eq!(readings("/a%2Fb"), ["/a%2Fb", "/a/b"]);
    assert_eq!(readings("/a;x/b"), ["/a/b", "/a;x/b"]);
    assert_eq!(readings("/a%3Bx/b"), ["/a%3Bx/b", "/a/b", "/a;x/b"]);
    assert_eq!(readings("/a;x%2Fb"), ["/a", "/a/b", "/a;x%2Fb", "/a;x/b"]);
    assert_eq!(readings("/p%2F%2Fq"), ["/p%2F%2Fq", "/p//q", "/p/q"]);
    assert!(readings("/a%252Fb").contains(&"/a/b".to_owned()));
    for canonical in ["/a%2F..%2Fb", "/..;/b", "/..%3Bx/b", "/a%2F.%2Fb", "/a%2F..%3Fx", "/a%2F..", "/a%2F..%20%2Fb"] {
        assert_eq!(other_readings(canonical), Err(DotSegment), "{canonical}");
    }
}

#[test]
fn folding_ignores_case_and_dots_and_spaces_at_ends() {
    for (decoded, ends, ends_and_case) in [
        ("/admin/x", "/admin/x", "/admin/x"),
        ("/ADMIN/X", "/ADMIN/X", "/admin/x"),
        ("/admin./x. .", "/admin/x", "/admin/x"),
        ("/admin /", "/admin/", "/admin/"),
        ("/v1.2/.hidden", "/v1.2/.hidden", "/v1.2/.hidden"),
        ("/\u{212a}ey/\u{c4}", "/\u{212a}ey/\u{c4}", "/key/\u{e4}"),
        ("/me\u{17f}\u{17f}", "/me\u{17f}\u{17f}", "/mess"),
    ] {
        let mut folded = b"before".to_vec();
        for (folding, expected) in [(Folding::Ends, ends), (Folding::EndsAndCase, ends_and_case)] {
            fold(decoded.as_bytes(), folding, &mut folded);
            assert_eq!(String::from_utf8_lossy(&folded), expected, "{decoded} {folding:?}");
        }
    }
    for (path, expected) in [
        ("/admin/v1.2/x", true),
        ("/", true),
        ("/Admin", false),
        ("/admin.", false),
        ("/admin./x", false),
        ("/admin%20", false),
    ] {
        assert_eq!(is_folded(path), expected, "{path}");
    }
}

/// Paths that are close to the limits of the rules more often than random text.
fn tricky_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-z0-9._~-]{1,3}",
        2 => "%[0-9a-fA-F]{2}",
        1 => "[ -~]",
        1 => any::<char>().prop_map(String::from),
        4 => prop::sample::select(vec![
            "/", ".", "..", "%2e", "%2E", "%2f", "%5c", "%25", "%", ";", "%32", "%65", "2e", "%c3%bc", "%20",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// Acceptable segments in forms that need normalizing.
fn valid_segment() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "%61", "%7e", "%c3%bc", "Z", "%3f", "x.y"]), 1..4)
        .prop_map(|pieces| pieces.concat())
}

fn decode_leniently(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match escaped_byte(bytes, at) {
            Ok(byte) => {
                decoded.push(byte);
                at += ESCAPE_BYTES;
            }
            Err(_) => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}

/// Decodes like the most lenient server: every encoding undone, every separator a slash.
fn decode_fully(path: &str) -> Vec<u8> {
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let decoded = decode_leniently(&bytes);
        if decoded == bytes {
            return bytes;
        }
        bytes = decoded;
    }
}

fn has_dot_segment(path: &str) -> bool {
    decode_fully(path)
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .map(|segment| segment.split(|byte| matches!(byte, b';' | b'?' | b'#' | 0)).next().unwrap_or_default())
        .any(|segment| matches!(segment, b"." | b".."))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn canonical_form_is_idempotent(raw in prop_oneof![
        tricky_path(),
        prop::collection::vec(valid_segment(), 1..5).prop_map(|segments| format!("/{}", segments.join("/"))),
    ]) {
        if let Ok(path) = CanonicalPath::parse(&raw) {
            let again = CanonicalPath::parse(path.as_str());
            prop_assert_eq!(again.as_ref(), Ok(&path));
            let is_borrowed = matches!(again, Ok(CanonicalPath { text: Cow::Borrowed(_), .. }));
            prop_assert!(is_borrowed);
            prop_assert_eq!(decode_fully(&raw), decode_fully(path.as_str()));
        }
    }

    #[test]
    fn accepted_paths_have_no_dot_segment_after_any_decoding(raw in tricky_path()) {
        if CanonicalPath::parse(&raw).is_ok() {
            prop_assert!(!has_dot_segment(&raw), "{raw}");
            prop_assert!(!decode_fully(&raw).windows(2).any(|pair| pair == b"//"));
        }
    }

    #[test]
    fn a_path_never_escapes_its_prefix(segments in prop::collection::vec(valid_segment(), 1..3), tail in tricky_path()) {
        let prefix_raw = format!("/{}", segments.join("/"));
        let prefix = CanonicalPath::parse(&prefix_raw).unwrap();
        let raw = format!("{prefix_raw}{tail}");
        if let Ok(path) = CanonicalPath::parse(&raw) {
            prop_assert!(unescape(path.as_str()).starts_with(&unescape(prefix.as_str())));
            prop_assert!(decode_fully(path.as_str()).starts_with(&decode_fully(prefix.as_str())));
            prop_assert!(!has_dot_segment(path.as_str()));
        }
    }

    #[test]
    fn no_text_panics(raw in any::<String>()) {
        let _ = CanonicalPath::parse(&raw);
    }

    #[test]
    fn accepted_quirks_change_nothing_for_paths_without_them(raw in tricky_path()) {
        match accepting(&raw) {
            Ok(path) if path.quirks().is_empty() => prop_assert_eq!(CanonicalPath::parse(&raw), Ok(path)),
            Ok(path) => {
                prop_assert!(CanonicalPath::parse(&raw).is_err());
                prop_assert_eq!(accepting(path.as_str()).map(|again| again.is_unchanged()), Ok(true));
                if let Ok(readings) = other_readings(path.as_str()) {
                    prop_assert!(readings.contains(&path.as_str().as_bytes().to_vec()));
                    prop_assert!(readings.iter().all(|reading| !has_dot_segment(&String::from_utf8_lossy(reading))));
                }
                prop_assert_eq!(decode_fully(&path.for_upstream(&raw, &PathRules::default())), decode_fully(&raw));
            }
            Err(_) => prop_assert!(CanonicalPath::parse(&raw).is_err()),
        }
    }
}

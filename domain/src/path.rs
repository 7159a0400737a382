//! The canonical path: the one form of a request path that selects the route and is sent upstream.
//!
//! Servers disagree about dot segments, encoded slashes, `;` parameters and double encoding, and every
//! disagreement is a way to bypass a route. Ambiguous paths are rejected, never repaired. Only spellings that
//! RFC 3986 section 6.2.2 defines as equivalent are normalized.

use std::borrow::Cow;

/// Maximum length of a path in bytes. A longer path is rejected.
pub const MAX_PATH_BYTES: usize = 8 * 1024;

/// Length of an escape: `%` and two hex digits.
const ESCAPE_BYTES: usize = 3;

/// Why a path is rejected: servers would not all read it the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathError {
    /// Longer than [`MAX_PATH_BYTES`].
    #[error("the path is longer than 8192 bytes")]
    TooLong,
    /// Empty, `*`, or relative.
    #[error("the path does not start with a slash")]
    NotAbsolute,
    /// A character that RFC 3986 does not allow in a path: a control, a space, a delimiter, a byte outside
    /// ASCII.
    #[error("the path has a character that must be percent-encoded")]
    InvalidCharacter,
    /// `\` or `%5c`, which some servers read as a slash.
    #[error("the path has a backslash")]
    Backslash,
    /// `;` or `%3b`. Some servers cut a segment there, so that `/admin;x` is `/admin` to them.
    #[error("the path has a semicolon")]
    PathParameter,
    /// `//`, which some servers read as one slash.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// A segment of dots, in any encoding; also with spaces, which some file systems strip.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%` without two hex digits.
    #[error("the path has a malformed percent escape")]
    MalformedEscape,
    /// `%2f`, which some servers read as a slash and others do not.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// An escape of a control character; `%00` ends the path for some servers.
    #[error("the path has an encoded control character")]
    EncodedControl,
    /// Escapes that do not decode to UTF-8, such as `%c0%af`, an overlong slash.
    #[error("the path has escapes that are not UTF-8")]
    NotUtf8,
    /// An escape that decodes to another escape, such as `%252e`.
    #[error("the path is percent-encoded twice")]
    DoubleEncoding,
}

/// A path that every server reads the same way. It borrows the path as sent if that is already canonical.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CanonicalPath<'a>(Cow<'a, str>);

impl<'a> CanonicalPath<'a> {
    /// Checks and normalizes the path of a request, without its query.
    ///
    /// # Errors
    /// Returns the reason if servers could read the path differently or if it is longer than
    /// [`MAX_PATH_BYTES`].
    pub fn parse(raw_path: &'a str) -> Result<Self, PathError> {
        if raw_path.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        if !raw_path.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        if !raw_path.bytes().all(|byte| IS_ALLOWED[usize::from(byte)]) {
            raw_path.bytes().try_for_each(check_byte)?;
        }
        let canonical = if raw_path.contains('%') { canonical_escapes(raw_path)? } else { Cow::Borrowed(raw_path) };
        check_segments(&canonical)?;
        Ok(Self(canonical))
    }

    /// Returns the path as it is sent upstream.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the path was canonical as sent.
    pub fn is_unchanged(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }
}

/// Returns the decoded bytes of a canonical path. None of its escapes decodes to a slash.
pub fn unescape(canonical: &str) -> Cow<'_, [u8]> {
    let bytes = canonical.as_bytes();
    if !canonical.contains('%') {
        return Cow::Borrowed(bytes);
    }
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match escaped_byte(bytes, at) {
            Ok(escaped) if *byte == b'%' => {
                decoded.push(escaped);
                at += ESCAPE_BYTES;
            }
            Ok(_) | Err(_) => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    Cow::Owned(decoded)
}

/// Whether [`check_byte`] accepts a byte, for a quick pass over a path.
static IS_ALLOWED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = check_byte(byte as u8).is_ok();
        byte += 1;
    }
    table
};

/// Accepts the bytes of RFC 3986 `pchar` and the slash between segments, except those that servers read
/// differently.
const fn check_byte(byte: u8) -> Result<(), PathError> {
    match byte {
        b'\\' => Err(PathError::Backslash),
        b';' => Err(PathError::PathParameter),
        b'/' | b'%' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' => Ok(()),
        _ if is_unreserved(byte) => Ok(()),
        _ => Err(PathError::InvalidCharacter),
    }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Normalizes every escape. Allocates only if one of them is not canonical.
fn canonical_escapes(raw_path: &str) -> Result<Cow<'_, str>, PathError> {
    let canonical = match check_escapes(raw_path)? {
        Escapes::Canonical => Cow::Borrowed(raw_path),
        Escapes::Equivalent => Cow::Owned(rewrite_escapes(raw_path)?),
    };
    // Hex digits are unreserved and decoded by now, so `%25%32%65` has become `%252e`.
    if canonical.split("%25").skip(1).any(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
    {
        return Err(PathError::DoubleEncoding);
    }
    Ok(canonical)
}

/// Form of a path's escapes, all of which are acceptable.
enum Escapes {
    /// Upper case, and no escape of an unreserved character.
    Canonical,
    /// At least one escape has a canonical form with the same meaning.
    Equivalent,
}

fn check_escapes(raw_path: &str) -> Result<Escapes, PathError> {
    let bytes = raw_path.as_bytes();
    let mut escapes = Escapes::Canonical;
    let mut at = 0;
    while let Some(escape_at) = bytes.iter().skip(at).position(|byte| *byte == b'%').map(|offset| at + offset) {
        let byte = escaped_byte(bytes, escape_at)?;
        let escaped_bytes = if byte.is_ascii() { check_ascii(byte)? } else { check_character(bytes, escape_at)? };
        at = escape_at + escaped_bytes * ESCAPE_BYTES;
        if is_unreserved(byte) || raw_path[escape_at..at].bytes().any(|byte| byte.is_ascii_lowercase()) {
            escapes = Escapes::Equivalent;
        }
    }
    Ok(escapes)
}

/// Decodes the escape at `at`.
fn escaped_byte(bytes: &[u8], at: usize) -> Result<u8, PathError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    match bytes.get(at..at + ESCAPE_BYTES) {
        Some([b'%', high, low]) => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Ok(high << 4 | low),
            (None, _) | (_, None) => Err(PathError::MalformedEscape),
        },
        _ => Err(PathError::MalformedEscape),
    }
}

/// Checks an escaped ASCII character. Returns the number of its escapes, which is one.
fn check_ascii(byte: u8) -> Result<usize, PathError> {
    match byte {
        b'/' => Err(PathError::EncodedSlash),
        b'\\' => Err(PathError::Backslash),
        b';' => Err(PathError::PathParameter),
        _ if byte.is_ascii_control() => Err(PathError::EncodedControl),
        _ => Ok(1),
    }
}

/// Checks the escaped non-ASCII character that starts at `at`. Returns the number of its escapes.
fn check_character(bytes: &[u8], at: usize) -> Result<usize, PathError> {
    let width = match escaped_byte(bytes, at)? {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return Err(PathError::NotUtf8),
    };
    let mut buffer = [0_u8; 4];
    for (index, slot) in buffer.iter_mut().take(width).enumerate() {
        *slot = match bytes.get(at + index * ESCAPE_BYTES) {
            Some(b'%') => escaped_byte(bytes, at + index * ESCAPE_BYTES)?,
            Some(_) | None => return Err(PathError::NotUtf8),
        };
    }
    let character = std::str::from_utf8(&buffer[..width]).map_err(|_| PathError::NotUtf8)?;
    if character.chars().any(char::is_control) { Err(PathError::EncodedControl) } else { Ok(width) }
}

fn rewrite_escapes(raw_path: &str) -> Result<String, PathError> {
    let mut canonical = String::with_capacity(raw_path.len());
    let mut rest = raw_path;
    while let Some(at) = rest.find('%') {
        let byte = escaped_byte(rest.as_bytes(), at)?;
        let (before, escape) = rest.split_at(at);
        let (escape, after) = escape.split_at(ESCAPE_BYTES);
        canonical.push_str(before);
        if is_unreserved(byte) {
            canonical.push(char::from(byte));
        } else {
            canonical.push_str(&escape.to_ascii_uppercase());
        }
        rest = after;
    }
    canonical.push_str(rest);
    Ok(canonical)
}

/// Rejects empty segments, except the last: `/api/` is a path of its own.
fn check_segments(canonical: &str) -> Result<(), PathError> {
    let may_be_rejected = |pair: &[u8]| pair[0] == b'/' && matches!(pair[1], b'/' | b'.' | b'%');
    if !canonical.as_bytes().windows(2).any(may_be_rejected) {
        return Ok(());
    }
    let mut segments = canonical[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(PathError::EmptySegment);
        }
        if !segment.is_empty() && is_dots(segment) {
            return Err(PathError::DotSegment);
        }
    }
    Ok(())
}

/// Returns whether a segment consists of dots. Three dots and more are rejected too: nobody needs them, and
/// some file systems resolve them to a parent directory. So are dots before an encoded `?` or `#`: a server
/// that decodes first ends the path there.
fn is_dots(segment: &str) -> bool {
    let mut rest = segment;
    while let Some(shorter) = rest.strip_prefix('.').or_else(|| rest.strip_prefix("%20")) {
        rest = shorter;
    }
    let is_truncated_by_delimiter = rest.len() < segment.len() && (rest.starts_with("%3F") || rest.starts_with("%23"));
    rest.is_empty() || is_truncated_by_delimiter
}

#[cfg(test)]
mod tests {
    use super::*;
    use PathError::*;
    use proptest::prelude::*;

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
            assert!(matches!(CanonicalPath::parse(raw), Ok(CanonicalPath(Cow::Borrowed(_)))), "{raw}");
        }
    }

    #[test]
    fn length_has_a_bound() {
        let longest = format!("/{}", "a".repeat(MAX_PATH_BYTES - 1));
        assert!(CanonicalPath::parse(&longest).is_ok());
        assert_eq!(CanonicalPath::parse(&format!("{longest}a")), Err(TooLong));
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
                prop_assert!(matches!(again, Ok(CanonicalPath(Cow::Borrowed(_)))));
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
    }
}

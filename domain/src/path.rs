//! The canonical path: the one form of a request path that selects the route and is sent upstream.
//!
//! Servers disagree about dot segments, encoded slashes, `;` parameters and double encoding, and every
//! disagreement is a way to bypass a route. Ambiguous paths are rejected, never repaired. Only spellings that
//! RFC 3986 section 6.2.2 defines as equivalent are normalized. A route may accept some [`Quirks`] by its
//! [`PathRules`]: [`other_readings`] are then judged as well.

mod error;
mod escapes;
mod folding;
mod readings;
mod rules;

use std::borrow::Cow;

pub use error::PathError;
use escapes::{canonical_escapes, encode_raw, rewrite_escapes};
pub use folding::{Folding, fold, is_folded};
pub use readings::other_readings;
use rules::Tolerance;
pub use rules::{EscapeRule, PathRules, QuirkRule, Quirks, RawRule};

/// Maximum length of a path in bytes. A longer path is rejected.
pub const MAX_PATH_BYTES: usize = 8 * 1024;

/// Quirks that the canonical form of a path does not have: it has escapes in their place.
const ENCODED: Quirks = Quirks::RAW.union(Quirks::RAW_UTF8);

/// A path that every server reads the same way, apart from its quirks. It borrows the path as sent if that is already
/// canonical.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CanonicalPath<'a> {
    text: Cow<'a, str>,
    quirks: Quirks,
}

impl<'a> CanonicalPath<'a> {
    /// Checks and normalizes the path of a request, without its query.
    ///
    /// # Errors
    /// Returns the reason if servers could read the path differently or if it is longer than
    /// [`MAX_PATH_BYTES`].
    pub fn parse(raw_path: &'a str) -> Result<Self, PathError> {
        Self::parse_accepting(raw_path, Quirks::NONE)
    }

    /// Checks and normalizes a path that may have some quirks. Raw characters become escapes, the others stay.
    ///
    /// # Errors
    /// As [`CanonicalPath::parse`], if the path has another quirk.
    #[inline]
    pub fn parse_accepting(raw_path: &'a str, accepted: Quirks) -> Result<Self, PathError> {
        if raw_path.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        if !raw_path.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        let mut tolerance = Tolerance::new(accepted);
        if !raw_path.bytes().all(|byte| IS_ALLOWED[usize::from(byte)]) {
            raw_path.bytes().try_for_each(|byte| check_byte(byte).or_else(|error| tolerance.note_byte(byte, error)))?;
        }
        let escaped =
            if raw_path.contains('%') { canonical_escapes(raw_path, &mut tolerance)? } else { Cow::Borrowed(raw_path) };
        let quirks = tolerance.found();
        if quirks.contains(Quirks::RAW_UTF8) && raw_path.contains(char::is_control) {
            return Err(PathError::InvalidCharacter);
        }
        let text = if quirks.intersects(ENCODED) { Cow::Owned(encode_raw(&escaped)) } else { escaped };
        check_segments(&text)?;
        Ok(Self { text, quirks })
    }

    /// Returns the path as it is sent upstream, unless the route keeps more of what the client sent.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the path was canonical as sent.
    pub fn is_unchanged(&self) -> bool {
        matches!(self.text, Cow::Borrowed(_))
    }

    /// Returns in which of the accepted ways servers could read the path differently.
    pub fn quirks(&self) -> Quirks {
        self.quirks
    }

    /// Returns the path as a route with these rules sends it upstream, from the path as the client sent it.
    pub fn for_upstream<'b>(&'b self, raw_path: &'b str, rules: &PathRules) -> Cow<'b, str> {
        let is_raw = self.quirks.intersects(ENCODED);
        match (rules.unreserved, rules.raw) {
            (EscapeRule::Decode, RawRule::Refuse | RawRule::Encode) => Cow::Borrowed(self.as_str()),
            (EscapeRule::Decode, RawRule::Keep) => rewrite_escapes(raw_path),
            (EscapeRule::Keep, RawRule::Refuse | RawRule::Encode) if is_raw => Cow::Owned(encode_raw(raw_path)),
            (EscapeRule::Keep, RawRule::Refuse | RawRule::Encode | RawRule::Keep) => Cow::Borrowed(raw_path),
        }
    }
}

/// Returns the decoded bytes of a canonical path. An escaped slash stays an escape: it is no separator.
pub fn unescape(canonical: &str) -> Cow<'_, [u8]> {
    let bytes = canonical.as_bytes();
    if !canonical.contains('%') {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(escapes::decode(bytes, |escaped| escaped != b'/'))
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
        _ if escapes::is_unreserved(byte) => Ok(()),
        _ => Err(PathError::InvalidCharacter),
    }
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
mod tests;

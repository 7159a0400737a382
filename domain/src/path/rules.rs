//! Rules of a route about paths that servers do not all read the same way.

use super::error::PathError;

/// A set of ways in which servers could read a path differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Quirks(u8);

impl Quirks {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// `%2f`.
    pub const ENCODED_SLASH: Self = Self(1);
    /// `;` or `%3b`.
    pub const SEMICOLON: Self = Self(2);
    /// A visible ASCII character that RFC 3986 allows in a path as an escape only, such as `|`.
    pub const RAW: Self = Self(4);
    /// Escapes that do not decode to UTF-8.
    pub const NON_UTF8: Self = Self(8);
    /// A character outside ASCII that is not escaped.
    pub const RAW_UTF8: Self = Self(16);

    /// Returns whether the set has all members of another one.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether the set has a member of another one.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the members of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a route does with the quirks of a path. The default refuses them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathRules {
    /// `%2f`.
    pub encoded_slash: QuirkRule,
    /// `;` and `%3b`.
    pub semicolon: QuirkRule,
    /// Characters that RFC 3986 allows as escapes only.
    pub raw: RawRule,
    /// Escapes that do not decode to UTF-8.
    pub non_utf8: QuirkRule,
    /// Escapes of characters that need none, such as `%61`.
    pub unreserved: EscapeRule,
}

/// What happens to a quirk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QuirkRule {
    /// The request is rejected.
    #[default]
    Refuse,
    /// It goes upstream.
    Keep,
}

/// What happens to a raw character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RawRule {
    /// The request is rejected.
    #[default]
    Refuse,
    /// Its escape goes upstream, also that of a character outside ASCII.
    Encode,
    /// It goes upstream. Characters outside ASCII are rejected: many servers reject them, or take them for Latin-1.
    Keep,
}

/// What happens to the spelling of escapes: those that need not be one, and hex digits in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EscapeRule {
    /// The canonical spelling goes upstream.
    #[default]
    Decode,
    /// The client's spelling goes upstream.
    Keep,
}

impl PathRules {
    /// Returns the quirks that do not make a request invalid.
    pub fn accepted(&self) -> Quirks {
        let kept = |rule: QuirkRule, quirk: Quirks| match rule {
            QuirkRule::Refuse => Quirks::NONE,
            QuirkRule::Keep => quirk,
        };
        let raw = match self.raw {
            RawRule::Refuse => Quirks::NONE,
            RawRule::Encode => Quirks::RAW.union(Quirks::RAW_UTF8),
            RawRule::Keep => Quirks::RAW,
        };
        kept(self.encoded_slash, Quirks::ENCODED_SLASH)
            .union(kept(self.semicolon, Quirks::SEMICOLON))
            .union(kept(self.non_utf8, Quirks::NON_UTF8))
            .union(raw)
    }
}

/// Quirks that a path may have, and those that it has.
#[derive(Debug)]
pub(super) struct Tolerance {
    accepted: Quirks,
    found: Quirks,
}

impl Tolerance {
    pub(super) fn new(accepted: Quirks) -> Self {
        Self { accepted, found: Quirks::NONE }
    }

    pub(super) fn found(&self) -> Quirks {
        self.found
    }

    /// Notes the quirk that an error is about, or returns the error if it is not accepted.
    pub(super) fn note(&mut self, error: PathError) -> Result<(), PathError> {
        let quirk = match error {
            PathError::EncodedSlash => Quirks::ENCODED_SLASH,
            PathError::PathParameter => Quirks::SEMICOLON,
            PathError::InvalidCharacter => Quirks::RAW,
            PathError::NotUtf8 => Quirks::NON_UTF8,
            PathError::TooLong
            | PathError::NotAbsolute
            | PathError::Backslash
            | PathError::EmptySegment
            | PathError::DotSegment
            | PathError::MalformedEscape
            | PathError::EncodedControl
            | PathError::DoubleEncoding => return Err(error),
        };
        self.note_quirk(quirk, error)
    }

    fn note_quirk(&mut self, quirk: Quirks, error: PathError) -> Result<(), PathError> {
        if !self.accepted.contains(quirk) {
            return Err(error);
        }
        self.found = self.found.union(quirk);
        Ok(())
    }

    /// Notes the quirk of a byte that is not an escape. Controls, spaces, `?` and `#` are errors in any case: they end
    /// a path or a request line for some servers.
    pub(super) fn note_byte(&mut self, byte: u8, error: PathError) -> Result<(), PathError> {
        match byte {
            0x80.. => self.note_quirk(Quirks::RAW_UTF8, error),
            b'?' | b'#' => Err(error),
            _ if byte.is_ascii_graphic() => self.note(error),
            _ => Err(error),
        }
    }
}

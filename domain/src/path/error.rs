//! Reasons for which a path is rejected.

/// Why a path is rejected: servers would not all read it the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathError {
    /// Longer than [`MAX_PATH_BYTES`](super::MAX_PATH_BYTES).
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

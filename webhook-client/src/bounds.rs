//! Bounds of an attempt, and of what is captured of its response.

use std::time::Duration;

/// Maximum duration of an attempt.
pub const ATTEMPT_DEADLINE: Duration = Duration::from_secs(15);
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Maximum number of bytes read of a response body.
pub(crate) const MAX_RESPONSE_BYTES: usize = 8 * 1024;
/// Maximum duration of reading a response body.
pub(crate) const READ_BODY_DEADLINE: Duration = Duration::from_secs(1);
/// Maximum length in bytes of the excerpt of a response body.
pub const MAX_EXCERPT_BYTES: usize = 1024;
/// Maximum length in bytes of a captured header value.
pub const MAX_CAPTURED_HEADER_BYTES: usize = 256;

/// Minimum length in bytes of a secret that is redacted. A shorter one is guessed faster than it is read, and
/// replacing it would leave little of any text.
pub(crate) const MIN_SECRET_BYTES: usize = 4;
/// Minimum length in bytes of a word of a header value that is redacted on its own, such as the token after `Bearer`.
pub(crate) const MIN_SECRET_WORD_BYTES: usize = 8;
/// Minimum length in bytes of a segment of the URL's path that is redacted on its own. Tokens are longer than the
/// names of resources.
pub(crate) const MIN_SECRET_SEGMENT_BYTES: usize = 16;
/// Maximum number of encodings inside one another in which a secret is found.
pub(crate) const MAX_NESTED_ENCODINGS: usize = 3;

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
pub(crate) const MIN_SECRET_BYTES: usize = 3;
/// Minimum length in bytes of a part that is redacted on its own if it is not a plain word: a segment of the URL's path,
/// or a word of a header value, such as the token after `Bearer`.
pub(crate) const MIN_SECRET_PART_BYTES: usize = 4;
/// Minimum length in bytes of such a part if it could be a plain word. Names of resources are shorter; the segments of
/// Slack's URLs have from 9.
pub(crate) const MIN_SECRET_WORD_BYTES: usize = 8;
/// Minimum length in bytes of the end of a whole text that is dropped because it could be the start of a secret.
pub(crate) const MIN_TAIL_BYTES: usize = 4;
/// Maximum number of encodings inside one another in which a secret is found.
pub(crate) const MAX_NESTED_ENCODINGS: usize = 3;

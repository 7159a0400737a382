//! Bounds of an attempt.

use std::time::Duration;

/// Maximum duration of an attempt.
pub const ATTEMPT_DEADLINE: Duration = Duration::from_secs(15);
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Maximum number of bytes read of a response body.
pub(crate) const MAX_RESPONSE_BYTES: usize = 8 * 1024;

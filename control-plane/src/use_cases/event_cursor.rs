//! Cursors in the list of changes.

use std::fmt;
use std::str::FromStr;

use gatepost_domain::time::Version;

/// Place in the list of changes. Callers send it back as they got it and read nothing out of it: a store of several
/// cells will need more than one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventCursor(Version);

/// Error for a text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the cursor of a change")]
pub struct ParseEventCursorError;

impl EventCursor {
    /// The place before the oldest change.
    pub const START: Self = Self(Version::ZERO);

    pub(super) fn at(version: Version) -> Self {
        Self(version)
    }

    pub(super) fn version(&self) -> Version {
        self.0
    }
}

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for EventCursor {
    type Err = ParseEventCursorError;

    fn from_str(text: &str) -> Result<Self, ParseEventCursorError> {
        text.parse().map(|number| Self(Version::from_u64(number))).map_err(|_| ParseEventCursorError)
    }
}

//! Cursors in the list of changes.

use std::fmt;
use std::str::FromStr;

use gatepost_domain::time::{Timestamp, Version};

/// Place in the list of changes. Callers send it back as they got it and read nothing out of it: a store of several
/// cells will need more than one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventCursor {
    version: Version,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// There is a change at the cursor, unless history was trimmed or rewound.
    AtChange,
    /// It is the last place before a time, at which there may be no change.
    BeforeTime,
}

/// Error for a text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the cursor of a change")]
pub struct ParseEventCursorError;

impl EventCursor {
    /// The place before the oldest change.
    pub const START: Self = Self::at(Version::ZERO);
    /// The place after the newest change.
    pub const END: Self = Self::at(Version::MAX);

    pub(super) const fn at(version: Version) -> Self {
        Self { version, place: Place::AtChange }
    }

    /// Returns the place before the changes since a time, on the store's clock. It is for reading on from there at once:
    /// sent back later, it would be that of an unknown change.
    pub(super) fn before(time: Timestamp) -> Self {
        let first = Version::from_parts(time.as_ms(), 0);
        Self { version: Version::from_u64(first.as_u64().saturating_sub(1)), place: Place::BeforeTime }
    }

    /// Returns the later of two cursors of the same list.
    pub fn later(self, other: Self) -> Self {
        if other.version > self.version { other } else { self }
    }

    /// Returns whether there is, or was, a change at the cursor, so that reading can continue there later.
    pub fn is_at_change(&self) -> bool {
        self.place == Place::AtChange
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }
}

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.version, f)
    }
}

impl FromStr for EventCursor {
    type Err = ParseEventCursorError;

    fn from_str(text: &str) -> Result<Self, ParseEventCursorError> {
        text.parse().map(|number| Self::at(Version::from_u64(number))).map_err(|_| ParseEventCursorError)
    }
}

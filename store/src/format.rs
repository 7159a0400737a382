//! Store formats: which schema version a store is written in, and which programs can read it.
//!
//! A release reads a new schema before any release writes it, so that neighbouring releases can share one store. The
//! store records its format in the fields `format` and `min_reader` of its metadata. `gatepost store upgrade` raises
//! them when all processes can read the later format.

use std::fmt;

/// Format number of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Format(u32);

impl Format {
    /// The format of v0.1.0. Stores in this format have no number.
    pub const FIRST: Self = Self(1);
    /// URLs and custom headers of webhooks are sealed, and account resources are counted.
    pub const SEALED_WEBHOOKS: Self = Self(2);
    /// Usage is stored by key.
    pub const USAGE_BY_KEY: Self = Self(2);
    /// The latest format that this program reads and writes.
    pub const LATEST: Self = Self::SEALED_WEBHOOKS;

    /// Returns the format with this number; `None` if this program cannot write it.
    pub fn new(number: u32) -> Option<Self> {
        (Self::FIRST.0..=Self::LATEST.0).contains(&number).then_some(Self(number))
    }

    /// Returns the number, as stored.
    pub fn number(self) -> u32 {
        self.0
    }

    /// Returns the latest format that this program can write into a store with this format number.
    pub(crate) fn writable(number: u32) -> Self {
        Self(number.clamp(Self::FIRST.0, Self::LATEST.0))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The store is in a later format than the data to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaterFormat(pub(crate) u32);

/// Returns the error message for a store that only later programs can read.
pub(crate) fn unsupported_format_message(min_reader: u32) -> String {
    format!(
        "the store needs a program that reads format {min_reader} or later; gatepost {} reads up to {}: install the \
         release that wrote it",
        env!("CARGO_PKG_VERSION"),
        Format::LATEST
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_know_the_latest_readable_format() {
        let constant = format!("local MAX_FORMAT = {} --", Format::LATEST);
        assert!(include_str!("redis/lua/common.lua").contains(&constant));
    }
}

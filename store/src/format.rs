//! Formats of a store: which shapes stand in it, and which programs can read them.
//!
//! A release reads a new shape before any release writes it, so that neighbouring releases can run side by side on one
//! store. What is written says the store itself, in the fields `format` and `min_reader` of its meta data;
//! `gatepost store upgrade` raises them when all processes can read the later format.

use std::fmt;

/// The format of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Format(u32);

impl Format {
    /// What v0.1.0 reads and writes. Stores of this format have no number.
    pub const FIRST: Self = Self(1);
    /// URLs and custom headers of webhooks are sealed.
    pub const SEALED_WEBHOOKS: Self = Self(2);
    /// The latest that this program reads and writes.
    pub const LATEST: Self = Self::SEALED_WEBHOOKS;

    /// A format that this program can write; none of another number.
    pub fn new(number: u32) -> Option<Self> {
        (Self::FIRST.0..=Self::LATEST.0).contains(&number).then_some(Self(number))
    }

    /// As it stands in the store.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The latest format that this program can write in a store of this number.
    pub(crate) fn writable(number: u32) -> Self {
        Self(number.clamp(Self::FIRST.0, Self::LATEST.0))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The store is in a later format than the one in which something was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaterFormat(pub(crate) u32);

/// The sentence with which a store that only later programs can read is refused.
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
        let constant = format!("local READS = {} --", Format::LATEST);
        assert!(include_str!("redis/lua/common.lua").contains(&constant));
    }
}

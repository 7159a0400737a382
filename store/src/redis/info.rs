//! Replies to INFO.

use std::collections::HashMap;

/// Returns the fields of a reply by name.
pub(super) fn parse_info(info: &str) -> HashMap<&str, &str> {
    info.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect()
}

//! Texts that callers choose.

use gatepost_domain::record::Status;
use gatepost_domain::time::Timestamp;

use super::patch::Patch;
use crate::failure::{Failure, Result};

/// Characters of a name or of a caller's own id.
pub(super) const MAX_TEXT_CHARS: usize = 256;
/// Characters of a user agent that are stored.
const MAX_USER_AGENT_CHARS: usize = 1024;

/// Validates a name: not empty, at most 256 characters, no control characters.
pub(super) fn parse_name(text: Option<String>) -> Result<String> {
    let text = text.ok_or_else(|| Failure::invalid("name: is missing"))?;
    if text.trim().is_empty() {
        return Err(Failure::invalid("name: must not be empty"));
    }
    check_text("name", text)
}

/// Returns the new name of a resource of which only name and status can change; none if it keeps its own.
pub(super) fn parse_changed_name(requested: &Patch<String>, status: Option<Status>) -> Result<Option<String>> {
    match (requested, status) {
        (Patch::Value(requested), _) => parse_name(Some(requested.clone())).map(Some),
        (Patch::Absent, Some(_)) => Ok(None),
        (Patch::Absent, None) => parse_name(None).map(Some),
        (Patch::Null, _) => Err(Failure::invalid("name: must not be empty")),
    }
}

/// Validates a text that may be absent.
pub(super) fn check_optional_text(field: &str, text: Option<String>) -> Result<Option<String>> {
    text.map(|text| check_text(field, text)).transpose()
}

/// Shortens a text that a browser chose, and removes its control characters.
pub(super) fn truncate_user_agent(text: Option<String>) -> Option<String> {
    text.map(|text| text.chars().filter(|one| !one.is_control()).take(MAX_USER_AGENT_CHARS).collect())
}

/// Validates a text: at most 256 characters, no control characters.
pub(super) fn check_text(field: &str, text: String) -> Result<String> {
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(Failure::invalid(format!("{field}: has more than {MAX_TEXT_CHARS} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Failure::invalid(format!("{field}: has control characters")));
    }
    Ok(text)
}

pub(super) fn parse_timestamp(member: &str, text: &str) -> Result<Timestamp> {
    Timestamp::parse(text).map_err(|error| Failure::invalid(format!("{member}: {error}")))
}

//! Which texts may be the value of a key: they must not appear in an address.

use gatepost_domain::id::{AccountId, EventId, KeyId, ProjectId, WebhookId};
use gatepost_domain::key::{self, KeyFormat};

/// Characters from which a word without spaces may be the value of a key, whatever its form.
const MIN_VALUE_CHARS: usize = 16;

/// Returns whether a text has the form of a generated value.
pub(crate) fn looks_like_value(text: &str) -> bool {
    let is_mask = text.contains('…') || text.contains("...");
    let begins_like_one = text.starts_with("live_") || text.starts_with("test_");
    key::key_format(text) == KeyFormat::Generated || (begins_like_one && !is_mask)
}

/// Returns whether a text may be a value of any form.
pub(crate) fn may_be_value(text: &str) -> bool {
    let is_id = [ProjectId::PREFIX, KeyId::PREFIX, WebhookId::PREFIX, AccountId::PREFIX, EventId::PREFIX]
        .iter()
        .any(|prefix| text.starts_with(prefix));
    let is_long_word = text.chars().count() >= MIN_VALUE_CHARS && !text.contains(char::is_whitespace);
    looks_like_value(text) || (is_long_word && !is_id)
}

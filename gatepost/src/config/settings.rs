//! Which settings differ between two configurations, and which of those need a restart.

use std::collections::BTreeMap;
use std::fmt;

use super::tree::{Node, Value};

/// Settings of the gateway that a running process does not take over. It takes over all others of `[gateway]`.
const FIXED_GATEWAY_KEYS: [&str; 7] = [
    "gateway.cache_capacity",
    "gateway.control_socket",
    "gateway.drain_delay_ms",
    "gateway.drain_timeout_ms",
    "gateway.max_stale_ms",
    "gateway.max_wrong_keys_a_minute",
    "gateway.name",
];

/// Every value that is set, by its key.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings(BTreeMap<String, String>);

impl Settings {
    pub(super) fn of(root: &Node) -> Self {
        let mut settings = Self::default();
        settings.add("", root);
        settings
    }

    fn add(&mut self, key: &str, node: &Node) {
        let value = match &node.value {
            Value::Table(entries) => {
                for (name, entry) in entries {
                    let dot = if key.is_empty() { "" } else { "." };
                    self.add(&format!("{key}{dot}{name}"), entry);
                }
                return;
            }
            Value::List(items) => {
                for (number, item) in items.iter().enumerate() {
                    self.add(&format!("{key}[{number}]"), item);
                }
                return;
            }
            Value::Text(text) | Value::Raw(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Bool(choice) => choice.to_string(),
            Value::Unsupported(kind) => (*kind).to_owned(),
        };
        self.0.insert(key.to_owned(), value);
    }

    /// Returns the keys of these settings or of others that differ, and take effect in a new process only.
    pub(crate) fn changes_that_need_restart(&self, others: &Self) -> Vec<String> {
        let keys = self.0.keys().chain(others.0.keys().filter(|key| !self.0.contains_key(*key)));
        let changed = keys.filter(|key| self.0.get(*key) != others.0.get(*key) && needs_restart(key));
        changed.cloned().collect()
    }
}

/// Shows the keys only: values may be secret.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn needs_restart(key: &str) -> bool {
    !key.starts_with("gateway.") || FIXED_GATEWAY_KEYS.contains(&key)
}

//! Names of keys in paths.

use gatepost_domain::id::KeyId;
use gatepost_domain::key::Secret;

/// The name of a key in a path: its value, which the response repeats, or its id.
#[derive(Debug, Clone)]
pub enum KeyRef {
    Value(Secret),
    Id(KeyId),
}

impl KeyRef {
    /// Parses the last segment of a path.
    pub fn parse(text: &str) -> Self {
        match KeyId::parse(text) {
            Ok(id) => KeyRef::Id(id),
            Err(_) => KeyRef::Value(Secret::new(text.to_owned())),
        }
    }

    /// Returns the `key` of the response.
    pub fn echoed_key(&self) -> &str {
        match self {
            KeyRef::Value(secret) => secret.expose(),
            KeyRef::Id(id) => id.as_str(),
        }
    }
}

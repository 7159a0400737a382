//! The server that holds a store, as it reports itself.

use std::collections::HashMap;
use std::fmt;

/// Server that holds a store, and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreServer {
    /// `Redis`, `Valkey`, or `embedded`.
    pub name: &'static str,
    /// Version of the server. An embedded store has that of this program.
    pub version: String,
}

impl StoreServer {
    /// The program itself.
    pub(crate) fn embedded() -> Self {
        Self { name: "embedded", version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    /// Valkey also reports itself as Redis 7.2.4 for compatibility, so its own version takes precedence.
    pub(crate) fn from_info(info: &HashMap<&str, &str>) -> Self {
        match info.get("valkey_version") {
            Some(version) => Self { name: "Valkey", version: (*version).to_owned() },
            None => Self { name: "Redis", version: info.get("redis_version").copied().unwrap_or_default().to_owned() },
        }
    }

    pub(crate) fn major(&self) -> Option<u32> {
        self.version.split('.').next()?.parse().ok()
    }
}

impl fmt::Display for StoreServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

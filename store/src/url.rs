//! Store URLs: which backend, and where.

use std::fmt;
use std::path::PathBuf;

/// Where a store is. Printing it never shows credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// In this process, in a directory.
    Embedded(PathBuf),
    /// In this process, in memory, gone at its end.
    Memory,
    /// On one Redis: the URL for the client library.
    Redis(String),
}

/// Why a text is no store URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; use embedded:PATH, embedded::memory:, redis://HOST:PORT or rediss://HOST:PORT")]
pub struct NotAStoreUrl(String);

impl StoreUrl {
    /// Reads a store URL.
    pub fn parse(text: &str) -> Result<Self, NotAStoreUrl> {
        if text == "embedded::memory:" {
            return Ok(Self::Memory);
        }
        if let Some(path) = text.strip_prefix("embedded:") {
            return if path.is_empty() {
                Err(NotAStoreUrl("embedded: lacks a path".to_owned()))
            } else {
                Ok(Self::Embedded(PathBuf::from(path)))
            };
        }
        let parsed = ::url::Url::parse(text).map_err(|error| NotAStoreUrl(format!("not a URL: {error}")))?;
        match parsed.scheme() {
            "redis" | "rediss" if parsed.host().is_some() => Ok(Self::Redis(text.to_owned())),
            "redis" | "rediss" => Err(NotAStoreUrl("the URL lacks a host".to_owned())),
            other => Err(NotAStoreUrl(format!("scheme {other} is not known"))),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Embedded(path) => write!(f, "embedded:{}", path.display()),
            StoreUrl::Memory => f.write_str("embedded::memory:"),
            StoreUrl::Redis(text) => f.write_str(&redact(text)),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A URL without its credentials.
pub fn redact(text: &str) -> String {
    let Ok(mut parsed) = ::url::Url::parse(text) else { return "***".to_owned() };
    if !parsed.username().is_empty() && parsed.set_username("***").is_err() {
        return "***".to_owned();
    }
    if parsed.password().is_some() && parsed.set_password(Some("***")).is_err() {
        return "***".to_owned();
    }
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_forms_are_read_and_others_refused() {
        assert_eq!(StoreUrl::parse("embedded:./data"), Ok(StoreUrl::Embedded("./data".into())));
        assert_eq!(StoreUrl::parse("embedded::memory:"), Ok(StoreUrl::Memory));
        assert!(matches!(StoreUrl::parse("redis://127.0.0.1:6379"), Ok(StoreUrl::Redis(_))));
        for text in ["", "embedded:", "redis://", "http://a", "127.0.0.1:6379"] {
            assert!(StoreUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_are_not_printed() {
        let url = StoreUrl::parse("redis://user:hunter2@127.0.0.1:6379/0").unwrap();
        assert_eq!(url.to_string(), "redis://***:***@127.0.0.1:6379/0");
        assert_eq!(format!("{url:?}"), "redis://***:***@127.0.0.1:6379/0");
    }
}

//! Servers whose addresses are not known.

use std::io;

/// A server whose address is not known.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The resolver did not respond in time.
    #[error("upstream {upstream}: resolving {server} took too long")]
    TimedOut {
        /// Configured name of the upstream.
        upstream: String,
        /// Configured `host:port`.
        server: String,
    },
    #[error("upstream {upstream}: cannot resolve {server}")]
    Failed {
        /// Configured name of the upstream.
        upstream: String,
        /// Configured `host:port`.
        server: String,
        source: io::Error,
    },
    /// The name is known, but has no address.
    #[error("upstream {upstream}: {server} has no address")]
    NoAddress {
        /// Configured name of the upstream.
        upstream: String,
        /// Configured `host:port`.
        server: String,
    },
    /// The name is not a valid value of a `Host` header.
    #[error("upstream {upstream}: {server:?} is not valid in a Host header")]
    InvalidHost {
        /// Configured name of the upstream.
        upstream: String,
        /// Configured `host:port`.
        server: String,
    },
    /// The upstream names no server.
    #[error("upstream {upstream} has no server")]
    NoServer {
        /// Configured name of the upstream.
        upstream: String,
    },
}

impl ResolveError {
    /// Returns the configured name of the upstream.
    pub fn upstream(&self) -> &str {
        match self {
            ResolveError::TimedOut { upstream, .. }
            | ResolveError::Failed { upstream, .. }
            | ResolveError::NoAddress { upstream, .. }
            | ResolveError::InvalidHost { upstream, .. }
            | ResolveError::NoServer { upstream } => upstream,
        }
    }
}

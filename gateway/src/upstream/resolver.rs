//! Name resolution of an upstream's servers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::options::UpstreamOptions;

use super::server::Server;
use crate::tls::UpstreamTls;

/// Limit for resolving one name.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);

/// Turns configured names into servers, with the system's resolver.
#[derive(Debug)]
pub(super) struct Resolver {
    deadline: Duration,
}

/// An upstream without usable servers.
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
    /// The name is not a valid value of a `Host` header.
    #[error("upstream {upstream}: {server:?} is not valid in a Host header")]
    InvalidHost {
        /// Configured name of the upstream.
        upstream: String,
        /// Configured `host:port`.
        server: String,
    },
    /// The names resolved to no address.
    #[error("upstream {upstream} has no server")]
    NoServer {
        /// Configured name of the upstream.
        upstream: String,
    },
}

/// Returns the upstreams that do not resolve now, in their order.
pub async fn resolution_errors(upstreams: &[UpstreamOptions]) -> Vec<ResolveError> {
    let resolver = Resolver::default();
    let resolved = futures::future::join_all(upstreams.iter().map(|upstream| resolver.resolve(upstream, None))).await;
    resolved.into_iter().filter_map(Result::err).collect()
}

impl Default for Resolver {
    fn default() -> Self {
        Self { deadline: RESOLVE_DEADLINE }
    }
}

impl Resolver {
    /// Returns a server for each address of each name, in the order of the names.
    pub(super) async fn resolve(
        &self,
        options: &UpstreamOptions,
        tls: Option<&Arc<UpstreamTls>>,
    ) -> Result<Vec<Arc<Server>>, ResolveError> {
        let mut servers = Vec::new();
        for server in &options.servers {
            let (upstream, name) = (|| options.name.clone(), || server.clone());
            let addresses = timeout(self.deadline, lookup_host(server))
                .await
                .map_err(|_| ResolveError::TimedOut { upstream: upstream(), server: name() })?
                .map_err(|source| ResolveError::Failed { upstream: upstream(), server: name(), source })?;
            let host = HeaderValue::from_str(server)
                .map_err(|_| ResolveError::InvalidHost { upstream: upstream(), server: name() })?;
            servers.extend(addresses.map(|address| Arc::new(Server::new(address, host.clone(), tls.map(Arc::clone)))));
        }
        if servers.is_empty() {
            return Err(ResolveError::NoServer { upstream: options.name.clone() });
        }
        Ok(servers)
    }
}

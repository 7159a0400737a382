//! A configured name of servers, with the servers that it stands for now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::server::Server;
use crate::options::UpstreamOptions;
use crate::resolve_error::ResolveError;
use crate::tls::UpstreamTls;

/// Limit for resolving one name.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);
/// Addresses of one name that are used.
const MAX_ADDRESSES: usize = 1000;

#[derive(Debug)]
pub(super) struct ServerName {
    /// Configured `host:port`.
    text: String,
    /// The same, as value of a `Host` header.
    host: HeaderValue,
    tls: Option<Arc<UpstreamTls>>,
    /// One for each address, in the order of the addresses.
    servers: Mutex<Vec<Arc<Server>>>,
}

impl ServerName {
    /// Returns the configured names of an upstream, without servers.
    pub(super) fn parse_all(
        options: &UpstreamOptions,
        tls: Option<&Arc<UpstreamTls>>,
    ) -> Result<Vec<Self>, ResolveError> {
        if options.servers.is_empty() {
            return Err(ResolveError::NoServer { upstream: options.name.clone() });
        }
        let parse = |text: &String| match HeaderValue::from_str(text) {
            Ok(host) => Ok(Self { text: text.clone(), host, tls: tls.cloned(), servers: Mutex::default() }),
            Err(_) => Err(ResolveError::InvalidHost { upstream: options.name.clone(), server: text.clone() }),
        };
        options.servers.iter().map(parse).collect()
    }

    /// Returns whether it is an address, which cannot change.
    pub(super) fn is_address(&self) -> bool {
        self.text.parse::<SocketAddr>().is_ok()
    }

    pub(super) fn servers(&self) -> Vec<Arc<Server>> {
        self.servers.lock().clone()
    }

    /// Asks the system's resolver for the addresses. A server whose address stays keeps its state.
    pub(super) async fn resolve(&self, upstream: &str) -> Result<(), ResolveError> {
        let (upstream, server) = (|| upstream.to_owned(), || self.text.clone());
        let addresses = timeout(RESOLVE_DEADLINE, lookup_host(&self.text))
            .await
            .map_err(|_| ResolveError::TimedOut { upstream: upstream(), server: server() })?
            .map_err(|source| ResolveError::Failed { upstream: upstream(), server: server(), source })?;
        // Resolvers rotate addresses.
        let mut addresses: Vec<SocketAddr> = addresses.take(MAX_ADDRESSES).collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Err(ResolveError::NoAddress { upstream: upstream(), server: server() });
        }
        let mut servers = self.servers.lock();
        *servers = addresses.into_iter().map(|address| self.server_at(address, &servers)).collect();
        Ok(())
    }

    fn server_at(&self, address: SocketAddr, before: &[Arc<Server>]) -> Arc<Server> {
        let stays = before.iter().find(|server| server.address == address);
        stays.cloned().unwrap_or_else(|| Arc::new(Server::new(address, self.host.clone(), self.tls.clone())))
    }
}

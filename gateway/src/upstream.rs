//! An upstream: servers behind a name, of which each request gets one.

mod balancer;
mod ejection;
mod peer;
mod resolver;
mod server;

use std::sync::Arc;

use gatepost_domain::time::Clock;

use crate::options::UpstreamOptions;

use balancer::Balancer;
pub(crate) use peer::http_peer;
use resolver::Resolver;
pub use resolver::{ResolveError, resolution_errors};
pub(crate) use server::Server;

/// How often Pingora may try a request in all, the first time included.
pub(crate) const MAX_RETRIES: usize = 2;

/// The servers of one upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    servers: Vec<Arc<Server>>,
    balancer: Balancer,
}

impl Upstream {
    /// Resolves the servers' names, once: a changed address takes effect with a restart.
    ///
    /// # Errors
    /// If a name does not resolve within the deadline of [`Resolver`], or there is no server.
    pub(crate) async fn resolve(options: &UpstreamOptions) -> Result<Self, ResolveError> {
        let servers = Resolver::default().resolve(options).await?;
        Ok(Self { servers, balancer: Balancer::default() })
    }

    /// Returns the server for the next request.
    pub(crate) fn choose(&self, clock: &dyn Clock) -> &Arc<Server> {
        match self.servers.as_slice() {
            [only] => only,
            servers => self.balancer.choose(servers, clock.uptime()),
        }
    }
}

//! An upstream: servers behind a name, of which each request gets one.

mod balancer;
mod ejection;
mod peer;
mod resolver;
mod server;

use std::sync::Arc;

use gatepost_domain::time::Clock;
use gatepost_runtime::{Task, run_blocking};

use crate::options::UpstreamOptions;
use crate::start_error::StartError;
use crate::tls::{UpstreamTls, UpstreamTlsError, UpstreamTlsOptions};

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
    /// If a name does not resolve within the deadline of [`Resolver`], there is no server, or a certificate cannot be
    /// used.
    pub(crate) async fn resolve(options: &UpstreamOptions) -> Result<Self, StartError> {
        let tls = match &options.tls {
            None => None,
            Some(tls) => Some(load_tls(&options.name, tls.clone()).await?),
        };
        let servers = Resolver::default().resolve(options, tls.as_ref()).await?;
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

async fn load_tls(upstream: &str, options: UpstreamTlsOptions) -> Result<Arc<UpstreamTls>, StartError> {
    let loading = run_blocking(Task::CertificateRefresh, move || UpstreamTls::load(&options));
    let loaded = loading.await.unwrap_or(Err(UpstreamTlsError::Panicked));
    loaded.map_err(|source| StartError::UpstreamTls { upstream: upstream.to_owned(), source: Box::new(source) })
}

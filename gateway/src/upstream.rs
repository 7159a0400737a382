//! An upstream: servers behind names, of which each request gets one.

mod balancer;
mod ejection;
mod names;
mod peer;
mod resolution_errors;
mod resolving;
mod server;
mod server_name;

use std::sync::Arc;

use gatepost_domain::time::Clock;
use gatepost_runtime::{Task, run_blocking};

use crate::metrics::UpstreamMetrics;
use crate::options::UpstreamOptions;
use crate::start_error::StartError;
use crate::tls::{UpstreamTls, UpstreamTlsError, UpstreamTlsOptions};

use balancer::Balancer;
use names::Names;
pub(crate) use peer::http_peer;
pub use resolution_errors::resolution_errors;
pub(crate) use server::Server;

/// How often Pingora may try a request in all, the first time included.
pub(crate) const MAX_RETRIES: usize = 2;

/// The servers of one upstream. Their names are resolved again and again, until it is dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    options: UpstreamOptions,
    /// None for plain HTTP.
    tls: Option<Arc<UpstreamTls>>,
    names: Arc<Names>,
    balancer: Balancer,
}

/// How the names of an upstream were resolved the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamStatus {
    pub name: String,
    /// Whether it has the address of a server.
    pub is_resolved: bool,
    /// Why names could not be resolved. Their last addresses stay.
    pub errors: Vec<String>,
}

impl Upstream {
    /// Resolves the names of the servers, now and from then on. A name that does not resolve is waited for.
    ///
    /// # Errors
    /// If there is no server, a name is none, or a certificate cannot be used.
    pub(crate) async fn start(options: UpstreamOptions, metrics: UpstreamMetrics) -> Result<Self, StartError> {
        let tls = match &options.tls {
            None => None,
            Some(tls) => Some(load_tls(&options.name, tls.clone()).await?),
        };
        let names = Arc::new(Names::new(&options, tls.as_ref(), metrics)?);
        names.resolve().await;
        resolving::start(&names, options.resolve_every);
        Ok(Self { options, tls, names, balancer: Balancer::default() })
    }

    /// Returns whether it has these options, and would read the same certificates.
    pub(crate) fn has(&self, options: &UpstreamOptions) -> bool {
        self.options == *options && self.tls.as_ref().is_none_or(|tls| tls.is_current())
    }

    /// Returns the server for the next request; none before a name was resolved.
    pub(crate) fn choose(&self, clock: &dyn Clock) -> Option<Arc<Server>> {
        let servers = self.names.servers();
        match servers.as_slice() {
            [] => None,
            [only] => Some(Arc::clone(only)),
            servers => Some(Arc::clone(self.balancer.choose(servers, clock.uptime()))),
        }
    }

    /// Ejects a server that could not be connected to, and has the names resolved soon: it may have moved.
    pub(crate) fn eject(&self, server: &Server, clock: &dyn Clock) {
        server.ejection.start(clock.uptime());
        self.names.hurry();
    }

    pub(crate) fn status(&self) -> UpstreamStatus {
        UpstreamStatus {
            name: self.options.name.clone(),
            is_resolved: !self.names.servers().is_empty(),
            errors: self.names.errors(),
        }
    }
}

async fn load_tls(upstream: &str, options: UpstreamTlsOptions) -> Result<Arc<UpstreamTls>, StartError> {
    let loading = run_blocking(Task::CertificateRefresh, move || UpstreamTls::load(&options));
    let loaded = loading.await.unwrap_or(Err(UpstreamTlsError::Panicked));
    loaded.map_err(|source| StartError::UpstreamTls { upstream: upstream.to_owned(), source: Box::new(source) })
}

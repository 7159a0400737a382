//! An upstream: servers behind names, of which each request gets one.

mod balancer;
mod ejection;
mod names;
mod peer;
mod resolution_errors;
mod resolving;
mod server;
mod server_name;

use std::sync::{Arc, OnceLock};

use gatepost_domain::time::Clock;
use tokio::task::JoinHandle;

use crate::metrics::UpstreamsMetrics;
use crate::options::UpstreamOptions;
use crate::start_error::StartError;
use crate::tls::{UpstreamFiles, UpstreamMaterial, UpstreamTls, start_refreshing};

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
    /// Takes over the certificates, from the first use on.
    refreshing: OnceLock<JoinHandle<()>>,
}

/// How the names of an upstream were resolved the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamStatus {
    pub name: String,
    /// Whether it has the address of a server.
    pub is_resolved: bool,
    /// Why names could not be resolved. Their last addresses stay.
    pub errors: Vec<String>,
    /// Why changed certificates are not in use; none if they are.
    pub certificate_fault: Option<String>,
}

impl Upstream {
    /// Resolves the names of the servers, now and from then on. A name that does not resolve is waited for.
    ///
    /// # Errors
    /// If there is no server, a name is none, or its files were not read.
    pub(crate) async fn start(
        options: UpstreamOptions,
        material: Option<UpstreamMaterial>,
    ) -> Result<Self, StartError> {
        let tls = match (&options.tls, material) {
            (None, _) => None,
            (Some(tls), Some(material)) => Some(Arc::new(UpstreamTls::new(&options.name, tls.clone(), material))),
            (Some(_), None) => return Err(StartError::TlsNotRead { name: options.name }),
        };
        let names = Arc::new(Names::new(&options, tls.as_ref())?);
        names.resolve().await;
        resolving::start(&names, options.resolve_every);
        Ok(Self { options, tls, names, balancer: Balancer::default(), refreshing: OnceLock::new() })
    }

    /// Returns whether it has these options.
    pub(crate) fn has(&self, options: &UpstreamOptions) -> bool {
        self.options == *options
    }

    /// Begins its use by requests: it has metrics from now on, and takes over its certificates as they change. Does
    /// nothing if it is in use already.
    pub(crate) fn enter_use(&self, metrics: &UpstreamsMetrics, clock: &Arc<dyn Clock>) {
        self.names.enter_use(metrics.of(&self.options.name));
        match &self.tls {
            None => metrics.forget_files(&self.options.name),
            Some(tls) => {
                let faulty = metrics.faulty_files(&self.options.name);
                self.refreshing.get_or_init(|| {
                    faulty.set(0);
                    start_refreshing(UpstreamFiles { tls: Arc::clone(tls), clock: Arc::clone(clock), faulty })
                });
            }
        }
    }

    /// Takes over what was read of its files.
    pub(crate) fn take_over(&self, material: UpstreamMaterial) {
        if let Some(tls) = &self.tls {
            tls.take_over(material);
        }
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
            certificate_fault: self.tls.as_ref().and_then(|tls| tls.fault()).map(|fault| fault.to_string()),
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(refreshing) = self.refreshing.get() {
            refreshing.abort();
        }
    }
}

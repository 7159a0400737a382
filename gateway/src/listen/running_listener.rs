//! A listener that accepts connections, with the certificates that it serves.

use std::net::SocketAddr;
use std::sync::Arc;

use gatepost_domain::time::Clock;
use gatepost_runtime::{Task, run_blocking};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::acceptor::Acceptors;
use super::connection_handler::ConnectionHandler;
use super::listener::Listener;
use crate::metrics::Metrics;
use crate::start_error::StartError;
use crate::tls::{TlsAcceptor, TlsError, TlsOptions, start_refreshing};

#[derive(Debug)]
pub(crate) struct RunningListener {
    address: SocketAddr,
    acceptors: Acceptors,
    /// Takes over the certificates; absent without TLS.
    refreshing: Option<JoinHandle<()>>,
}

impl RunningListener {
    /// Reads the certificates, and accepts connections until `stopped` is true.
    ///
    /// # Errors
    /// [`StartError::Tls`] if the certificates cannot be used.
    pub(crate) async fn start(
        listener: Listener,
        handler: &Arc<ConnectionHandler>,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
        stopped: &watch::Receiver<bool>,
    ) -> Result<Self, StartError> {
        let name = &listener.options.name;
        let tls = match &listener.options.tls {
            None => None,
            Some(options) => {
                let loaded = load(options.clone(), Arc::clone(clock)).await;
                Some(Arc::new(
                    loaded.map_err(|source| StartError::Tls { listener: name.clone(), source: Box::new(source) })?,
                ))
            }
        };
        let acceptors = Acceptors::start(&listener, tls.as_ref(), handler, stopped);
        let refreshing = tls.map(|tls| start_refreshing(name, &tls, clock, &metrics.tls));
        Ok(Self { address: listener.address(), acceptors, refreshing })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it accepts no more.
    pub(crate) async fn join(&mut self) {
        self.acceptors.join().await;
    }
}

impl Drop for RunningListener {
    fn drop(&mut self) {
        if let Some(refreshing) = &self.refreshing {
            refreshing.abort();
        }
    }
}

async fn load(options: TlsOptions, clock: Arc<dyn Clock>) -> Result<TlsAcceptor, TlsError> {
    let loading = run_blocking(Task::CertificateRefresh, move || TlsAcceptor::load(options, clock.now()));
    loading.await.unwrap_or(Err(TlsError::Panicked))
}

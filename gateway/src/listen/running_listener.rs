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
use crate::metrics::TlsMetrics;
use crate::options::ListenerOptions;
use crate::start_error::StartError;
use crate::tls::{TlsAcceptor, TlsError, TlsOptions, start_refreshing};

/// A listener that can start without an error.
#[derive(Debug)]
pub(crate) struct ReadyListener {
    listener: Listener,
    tls: Option<Arc<TlsAcceptor>>,
}

impl ReadyListener {
    /// Reads the certificates.
    ///
    /// # Errors
    /// [`StartError::Tls`] if they cannot be used.
    pub(crate) async fn load(listener: Listener, clock: &Arc<dyn Clock>) -> Result<Self, StartError> {
        let tls = match &listener.options.tls {
            None => None,
            Some(options) => {
                let loaded = load_tls(options.clone(), Arc::clone(clock)).await;
                let error =
                    |source| StartError::Tls { listener: listener.options.name.clone(), source: Box::new(source) };
                Some(Arc::new(loaded.map_err(error)?))
            }
        };
        Ok(Self { listener, tls })
    }

    /// Accepts connections until the listener is stopped.
    pub(crate) fn start(
        self,
        handler: &Arc<ConnectionHandler>,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<TlsMetrics>,
    ) -> RunningListener {
        let Self { listener, tls } = self;
        let (stop, stopped) = watch::channel(false);
        let acceptors = Acceptors::start(&listener, tls.as_ref(), handler, &stopped);
        tracing::info!(address = %listener.address(), tls = tls.is_some(), "the gateway listens");
        let refreshing = tls.as_ref().map(|tls| start_refreshing(&listener.options.name, tls, clock, metrics));
        RunningListener { listener, tls, stop, acceptors, refreshing }
    }
}

#[derive(Debug)]
pub(crate) struct RunningListener {
    listener: Listener,
    tls: Option<Arc<TlsAcceptor>>,
    stop: watch::Sender<bool>,
    acceptors: Acceptors,
    /// Takes over the certificates; absent without TLS.
    refreshing: Option<JoinHandle<()>>,
}

impl RunningListener {
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    pub(crate) fn options(&self) -> &ListenerOptions {
        &self.listener.options
    }

    /// Returns the same socket with other options.
    pub(crate) fn with_options(&self, options: &ListenerOptions) -> Listener {
        self.listener.with_options(options)
    }

    /// Accepts no more, takes over no more certificates, and closes its connections after the responses that they wait
    /// for.
    pub(crate) async fn stop(&mut self) {
        self.stop.send_replace(true);
        self.stop_refreshing();
        self.acceptors.join().await;
    }

    fn stop_refreshing(&self) {
        if let Some(refreshing) = &self.refreshing {
            refreshing.abort();
        }
    }

    /// Forgets the metrics of its certificates.
    pub(crate) fn forget_metrics(&self, metrics: &TlsMetrics) {
        if let Some(tls) = &self.tls {
            metrics.forget(&self.listener.options.name, &tls.expiries());
        }
    }
}

impl Drop for RunningListener {
    fn drop(&mut self) {
        self.stop_refreshing();
    }
}

async fn load_tls(options: TlsOptions, clock: Arc<dyn Clock>) -> Result<TlsAcceptor, TlsError> {
    let loading = run_blocking(Task::CertificateRefresh, move || TlsAcceptor::load(options, clock.now()));
    loading.await.unwrap_or(Err(TlsError::Panicked))
}

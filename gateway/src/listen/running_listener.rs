//! A listener that accepts connections, with the certificates that it serves.

use std::net::SocketAddr;
use std::sync::Arc;

use gatepost_domain::time::Clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::acceptor::Acceptors;
use super::connection_handler::ConnectionHandler;
use super::listener::Listener;
use crate::metrics::TlsMetrics;
use crate::options::ListenerOptions;
use crate::start_error::StartError;
use crate::tls::{self, ListenerFiles, TlsAcceptor, TlsMaterial, TlsMaterials, start_refreshing};

/// A listener that can start without an error.
#[derive(Debug)]
pub(crate) struct ReadyListener {
    listener: Listener,
    tls: Option<Arc<TlsAcceptor>>,
}

impl ReadyListener {
    /// Takes what was read of its files.
    ///
    /// # Errors
    /// [`StartError::TlsNotRead`] if nothing was.
    pub(crate) fn new(listener: Listener, materials: &mut TlsMaterials) -> Result<Self, StartError> {
        let name = &listener.options.name;
        let tls = match &listener.options.tls {
            None => None,
            Some(options) => {
                let material =
                    materials.take_listener(name).ok_or_else(|| StartError::TlsNotRead { name: name.clone() })?;
                Some(Arc::new(TlsAcceptor::new(name, options.clone(), material)))
            }
        };
        Ok(Self { listener, tls })
    }

    pub(super) fn listener(&self) -> &Listener {
        &self.listener
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
        let (listener_name, address) = (&listener.options.name, listener.address());
        tracing::info!(listener = listener_name, %address, tls = tls.is_some(), "the gateway listens");
        let refreshing = tls.as_ref().map(|tls| {
            metrics.start(&listener.options.name, &tls.expiries());
            let (acceptor, clock, metrics) = (Arc::clone(tls), Arc::clone(clock), Arc::clone(metrics));
            start_refreshing(ListenerFiles { acceptor, clock, metrics })
        });
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

    pub(crate) fn tls(&self) -> Option<&Arc<TlsAcceptor>> {
        self.tls.as_ref()
    }

    /// Takes over what was read of its files.
    pub(crate) fn take_over(&self, material: TlsMaterial, metrics: &TlsMetrics) {
        if let Some(tls) = &self.tls {
            tls::take_over(tls, material, metrics);
        }
    }

    pub(super) fn listener(&self) -> &Listener {
        &self.listener
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

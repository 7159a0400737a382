//! The listeners with TLS that run now.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::acceptor::TlsAcceptor;

/// TLS of all listeners that have it. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsListeners(Arc<ArcSwap<Vec<Arc<TlsAcceptor>>>>);

impl TlsListeners {
    /// Replaces all.
    pub(crate) fn replace(&self, acceptors: Vec<Arc<TlsAcceptor>>) {
        self.0.store(Arc::new(acceptors));
    }

    /// Returns why files are not in use, for people: one text for each listener that has such files.
    pub(crate) fn faults(&self) -> Vec<String> {
        let faults = self.0.load().iter().filter_map(|acceptor| acceptor.fault()).collect::<Vec<_>>();
        let text =
            |(listener, fault)| format!("the changed certificates of listener {listener} are not in use: {fault}");
        faults.into_iter().map(text).collect()
    }

    /// Returns whether a certificate has a host, a name or an address.
    pub(crate) fn have_host(&self, host: &str) -> bool {
        self.0.load().iter().any(|acceptor| acceptor.material().certificates.has_host(host))
    }
}

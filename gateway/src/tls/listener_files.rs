//! The files of a running listener, which are taken over as they change.

use std::sync::Arc;

use gatepost_domain::time::Clock;
use gatepost_runtime::error_chain;

use super::acceptor::{TlsAcceptor, TlsMaterial};
use super::files::FileStamps;
use super::refresh::{FilesFault, FilesUser};
use crate::metrics::TlsMetrics;

pub(crate) struct ListenerFiles {
    pub(crate) acceptor: Arc<TlsAcceptor>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<TlsMetrics>,
}

/// Takes over what was read of a listener's files, unless it is in use already.
pub(crate) fn take_over(acceptor: &TlsAcceptor, material: TlsMaterial, metrics: &TlsMetrics) {
    if let Some(before) = acceptor.replace(material) {
        metrics.record_expiries(acceptor.listener(), &before, &acceptor.expiries());
        tracing::info!(listener = %acceptor.listener(), "certificates were taken over from their files");
    }
    set_fault(acceptor, None, metrics);
}

fn set_fault(acceptor: &TlsAcceptor, fault: Option<FilesFault>, metrics: &TlsMetrics) {
    metrics.faulty_files(acceptor.listener()).set(i64::from(fault.is_some()));
    acceptor.set_fault(fault);
}

impl FilesUser for ListenerFiles {
    fn stamps(&self) -> FileStamps {
        FileStamps::of(self.acceptor.options().files())
    }

    fn stamps_in_use(&self) -> FileStamps {
        self.acceptor.material().stamps.clone()
    }

    fn take_over(&self) -> Result<(), FilesFault> {
        let material = TlsMaterial::load(self.acceptor.options(), self.clock.now())
            .map_err(|errors| FilesFault::new(errors.iter().map(|error| error_chain(error))))?;
        take_over(&self.acceptor, material, &self.metrics);
        Ok(())
    }

    fn report(&self, fault: Option<FilesFault>) {
        if let Some(fault) = &fault {
            let (listener, error) = (self.acceptor.listener(), fault.to_string());
            tracing::warn!(listener, error, "certificates are not taken over, the old ones stay");
        }
        set_fault(&self.acceptor, fault, &self.metrics);
    }
}

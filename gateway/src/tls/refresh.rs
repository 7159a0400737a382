//! Certificates, keys and authorities are taken over when their files change: together, or not at all.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::time::Clock;
use gatepost_runtime::{Task, error_chain, run_blocking, supervise};
use tokio::task::JoinHandle;

use super::acceptor::TlsAcceptor;
use super::files::FileStamps;
use crate::metrics::TlsMetrics;

/// Time between two looks at the files.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Files that cannot be used. They may be in the middle of a change, so they are reported at the second look.
#[derive(Debug)]
struct FaultyFiles {
    stamps: FileStamps,
    is_reported: bool,
}

/// Takes over the files of a listener as they change, until the task is aborted.
pub(crate) fn start_refreshing(
    listener: &str,
    acceptor: &Arc<TlsAcceptor>,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<TlsMetrics>,
) -> JoinHandle<()> {
    let watch = Watch {
        listener: listener.into(),
        acceptor: Arc::clone(acceptor),
        clock: Arc::clone(clock),
        metrics: Arc::clone(metrics),
    };
    watch.metrics.record_expiries(listener, &[], &acceptor.expiries());
    watch.metrics.faulty_files(listener).set(0);
    supervise(Task::CertificateRefresh, move || watch.clone().run())
}

/// A listener whose files are looked at.
#[derive(Clone)]
struct Watch {
    listener: Arc<str>,
    acceptor: Arc<TlsAcceptor>,
    clock: Arc<dyn Clock>,
    metrics: Arc<TlsMetrics>,
}

impl Watch {
    async fn run(self) {
        let mut faulty = None;
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let watch = self.clone();
            let looking = run_blocking(Task::CertificateRefresh, move || watch.look(faulty));
            // After a panic, which was counted and logged, the files are read again.
            faulty = looking.await.unwrap_or_default();
        }
    }

    /// Looks at the files once. Returns them if they cannot be used.
    fn look(&self, faulty: Option<FaultyFiles>) -> Option<FaultyFiles> {
        let stamps = FileStamps::of(self.acceptor.options().files());
        let is_seen = faulty.as_ref().is_some_and(|faulty| faulty.stamps == stamps);
        if is_seen && faulty.as_ref().is_some_and(|faulty| faulty.is_reported) {
            return faulty;
        }
        let before = self.acceptor.material();
        if before.stamps != stamps {
            if let Err(error) = self.acceptor.reload(self.clock.now()) {
                if is_seen {
                    self.report(&error_chain(&error));
                }
                return Some(FaultyFiles { stamps, is_reported: is_seen });
            }
            tracing::info!(listener = %self.listener, "certificates were taken over from their files");
            self.metrics.record_expiries(&self.listener, &before.expiries, &self.acceptor.expiries());
        }
        self.metrics.faulty_files(&self.listener).set(0);
        None
    }

    fn report(&self, error: &str) {
        tracing::warn!(listener = %self.listener, error, "certificates are not taken over, the old ones stay");
        self.metrics.faulty_files(&self.listener).set(1);
    }
}

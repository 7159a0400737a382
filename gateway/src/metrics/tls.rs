//! Metrics of TLS with clients.

use gatepost_runtime::registered;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::tls::{CertificateExpiry, HandshakeError};

#[derive(Debug)]
pub(crate) struct TlsMetrics {
    handshakes: IntCounterVec,
    expiries: IntGaugeVec,
    faulty_files: IntGaugeVec,
}

impl TlsMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauges = |name: &str, help: &str, label: &str| {
            registered(registry, IntGaugeVec::new(Opts::new(name, help), &[label]))
        };
        let handshakes = IntCounterVec::new(
            Opts::new("gatepost_tls_handshakes_total", "TLS handshakes with clients, by outcome."),
            &["outcome"],
        );
        Ok(Self {
            handshakes: registered(registry, handshakes)?,
            expiries: gauges(
                "gatepost_certificate_expiry_timestamp_seconds",
                "End of the validity of each certificate in use, in seconds since 1970.",
                "name",
            )?,
            faulty_files: gauges(
                "gatepost_certificate_files_faulty",
                "1 if the certificate files of a listener have changed and cannot be used, so that the old ones stay.",
                "listener",
            )?,
        })
    }

    pub(crate) fn record_handshake(&self, error: Option<&HandshakeError>) {
        let outcome = error.map_or("ok", HandshakeError::label);
        self.handshakes.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn record_expiries(&self, expiries: &[CertificateExpiry]) {
        for expiry in expiries {
            let seconds = i64::try_from(expiry.at.as_seconds()).unwrap_or(i64::MAX);
            self.expiries.with_label_values(&[&expiry.name]).set(seconds);
        }
    }

    /// Returns the gauge that tells whether the files of a listener cannot be used.
    pub(crate) fn faulty_files(&self, listener: &str) -> IntGauge {
        self.faulty_files.with_label_values(&[listener])
    }
}

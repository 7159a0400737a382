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
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
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
                &["listener", "name"],
            )?,
            faulty_files: gauges(
                "gatepost_certificate_files_faulty",
                "1 if the certificate files of a listener have changed and cannot be used, so that the old ones stay.",
                &["listener"],
            )?,
        })
    }

    pub(crate) fn record_handshake(&self, error: Option<&HandshakeError>) {
        let outcome = error.map_or("ok", HandshakeError::label);
        self.handshakes.with_label_values(&[outcome]).inc();
    }

    /// Records the certificates of a listener in place of those that it had before. Of two with one name, the one that
    /// expires first counts.
    pub(crate) fn record_expiries(&self, listener: &str, before: &[CertificateExpiry], now: &[CertificateExpiry]) {
        for expiry in before {
            // Two may have had one name.
            let _ = self.expiries.remove_label_values(&[listener, &expiry.name]);
        }
        for expiry in now {
            let earliest = now.iter().filter(|other| other.name == expiry.name).map(|other| other.at).min();
            let seconds = i64::try_from(earliest.unwrap_or(expiry.at).as_seconds()).unwrap_or(i64::MAX);
            self.expiries.with_label_values(&[listener, &expiry.name]).set(seconds);
        }
    }

    /// Records the certificates of a listener that starts.
    pub(crate) fn start(&self, listener: &str, now: &[CertificateExpiry]) {
        self.record_expiries(listener, &[], now);
        self.faulty_files(listener).set(0);
    }

    /// Forgets a listener that has stopped, and had these certificates.
    pub(crate) fn forget(&self, listener: &str, before: &[CertificateExpiry]) {
        self.record_expiries(listener, before, &[]);
        // A listener whose files were never looked at has no gauge.
        let _ = self.faulty_files.remove_label_values(&[listener]);
    }

    /// Returns the gauge that tells whether the files of a listener cannot be used.
    pub(crate) fn faulty_files(&self, listener: &str) -> IntGauge {
        self.faulty_files.with_label_values(&[listener])
    }
}

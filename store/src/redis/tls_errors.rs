//! Failures of TLS that no retry mends, as messages for the operator.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::RedisError;

/// Returns a message for the operator if the server's certificate is not trusted, or it refuses ours.
pub(super) fn refusal_message(error: &RedisError) -> Option<String> {
    let fault = tls_error(error)?;
    if matches!(fault, rustls::Error::InvalidCertificate(_)) {
        return Some(format!(
            "the certificate of the server is not accepted: {fault}; store.tls.ca_file names the authorities to trust, \
             and the certificate must have the host of the URL, or the address that Sentinel or the Cluster reports"
        ));
    }
    matches!(fault, rustls::Error::AlertReceived(_)).then(|| {
        format!(
            "the server ended the TLS handshake: {fault}; if it requires a client certificate, set store.tls.cert_file \
             and store.tls.key_file"
        )
    })
}

fn tls_error(error: &RedisError) -> Option<&rustls::Error> {
    let inner: &Arc<dyn Error + Send + Sync> = error.source()?.downcast_ref()?;
    inner.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

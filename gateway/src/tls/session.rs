//! What a handshake found out about a client.

use http::HeaderValue;
use rustls::{ProtocolVersion, ServerConnection};
use sha2::{Digest as _, Sha256};

/// TLS of one connection.
#[derive(Debug)]
pub(crate) struct TlsSession {
    /// `1.2` or `1.3`.
    pub(crate) version: &'static str,
    /// Name that the client asked for: a DNS name (RFC 6066 section 3).
    pub(crate) server_name: Option<Box<str>>,
    /// SHA-256 of the client's certificate in lower-case hex; none without a certificate.
    pub(crate) client_certificate: Option<HeaderValue>,
}

impl TlsSession {
    pub(crate) fn of(connection: &ServerConnection) -> Self {
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        Self {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "1.3",
                _ => "1.2",
            },
            server_name: connection.server_name().map(Box::from),
            client_certificate: certificate.map(|certificate| fingerprint(certificate)),
        }
    }
}

fn fingerprint(certificate: &[u8]) -> HeaderValue {
    let hex: String = Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(hex).expect("hex is a valid header value")
}

//! Signatures of Standard Webhooks (version 1.0.0): HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_domain::id::EventId;
use gatepost_domain::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Prefix of a signing secret in text form.
pub(crate) const SECRET_PREFIX: &str = "whsec_";

/// Returns the text form of a signing secret, as its receiver gets it.
pub fn secret_text(secret: &[u8]) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(secret))
}

/// Parses the text form of a signing secret. Returns `None` if it has another one.
pub fn parse_secret(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(text.strip_prefix(SECRET_PREFIX)?).ok().map(Zeroizing::new)
}

/// Returns the value of the `webhook-signature` header: one signature per secret, separated by a space.
pub fn signatures<S: AsRef<[u8]>>(secrets: &[S], id: &EventId, at: Timestamp, body: &[u8]) -> String {
    let signatures: Vec<String> = secrets.iter().map(|secret| signature(secret.as_ref(), id, at, body)).collect();
    signatures.join(" ")
}

/// Returns one signature: `v1,` and the HMAC in base 64.
pub fn signature(secret: &[u8], id: &EventId, at: Timestamp, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes any key length");
    mac.update(format!("{id}.{}.", at.as_seconds()).as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

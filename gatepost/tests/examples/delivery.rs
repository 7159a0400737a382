//! Deliveries as receivers get them, and what can be changed about them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;

/// Body whose bytes differ from those of its JSON when it is written again.
const UNUSUAL_JSON: &str =
    "{ \"id\" : \"evt_1\",\r\n\t\"type\":\"\\u0061pi-key.created\", \"n\": 1.0, \"s\": \"ä€\\/\" }\n";
/// Just inside, and just outside of the tolerance of 5 minutes.
const RECENT: Duration = Duration::from_secs(4 * 60);
const OLD: Duration = Duration::from_secs(6 * 60);

/// Signed message. A header may be missing.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) id: Option<String>,
    pub(crate) timestamp: Option<String>,
    pub(crate) signature: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Delivery {
    pub(crate) fn new(headers: &HeaderMap, body: Vec<u8>) -> Self {
        let header = |name| Some(headers.get(name)?.to_str().unwrap().to_owned());
        let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
        Self { id, timestamp, signature: header("webhook-signature"), body }
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let headers =
            [("webhook-id", &self.id), ("webhook-timestamp", &self.timestamp), ("webhook-signature", &self.signature)];
        headers.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    pub(crate) fn signatures(&self) -> Vec<&str> {
        self.signature.as_deref().unwrap().split(' ').collect()
    }

    pub(crate) fn with_signature(&self, signature: &str) -> Self {
        Self { signature: Some(signature.to_owned()), ..self.clone() }
    }

    /// Returns the delivery signed with a key, in its present form.
    pub(crate) fn signed_with(&self, key: &[u8]) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(format!("{}.{}.", self.id.as_deref().unwrap(), self.timestamp.as_deref().unwrap()).as_bytes());
        mac.update(&self.body);
        self.with_signature(&format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }

    fn with_timestamp(&self, timestamp: impl ToString) -> Self {
        Self { timestamp: Some(timestamp.to_string()), ..self.clone() }
    }

    fn with_body(&self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self.clone() }
    }
}

/// Returns variants of a delivery: what was changed, the variant, and the status that it must get.
pub(crate) fn changed_deliveries(delivery: &Delivery, secret: &str) -> Vec<(&'static str, Delivery, u16)> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut variants = changed_messages(delivery);
    variants.extend(changed_signatures(delivery));
    variants.extend(signed_anew(delivery, &key));
    variants.push(("signed with the text of the secret", delivery.signed_with(secret.as_bytes()), 401));
    variants.push(("signed with another secret", delivery.signed_with(&[7; 32]), 401));
    variants
}

/// Returns variants whose signature is that of the original.
fn changed_messages(delivery: &Delivery) -> Vec<(&'static str, Delivery, u16)> {
    let mut one_byte_changed = delivery.body.clone();
    let middle = one_byte_changed.len() / 2;
    one_byte_changed[middle] ^= 1;
    let longer = [&delivery.body[..], b"\n"].concat();
    let shorter = &delivery.body[..delivery.body.len() - 1];
    let timestamp: u64 = delivery.timestamp.as_deref().unwrap().parse().unwrap();
    vec![
        ("nothing", delivery.clone(), 204),
        ("one byte of the body", delivery.with_body(one_byte_changed), 401),
        ("a longer body", delivery.with_body(longer), 401),
        ("a shorter body", delivery.with_body(shorter), 401),
        ("an empty body", delivery.with_body(""), 401),
        ("a timestamp one second later", delivery.with_timestamp(timestamp + 1), 401),
        ("a timestamp one second earlier", delivery.with_timestamp(timestamp - 1), 401),
        ("a timestamp that is not a number", delivery.with_timestamp("now"), 401),
        ("a timestamp without limit", delivery.with_timestamp("9".repeat(400)), 401),
        ("another id", Delivery { id: Some("evt_other".to_owned()), ..delivery.clone() }, 401),
        ("no id", Delivery { id: None, ..delivery.clone() }, 401),
        ("no timestamp", Delivery { timestamp: None, ..delivery.clone() }, 401),
        ("no signature", Delivery { signature: None, ..delivery.clone() }, 401),
    ]
}

/// Returns variants with other signatures, or the right one in another form.
fn changed_signatures(delivery: &Delivery) -> Vec<(&'static str, Delivery, u16)> {
    let signature = delivery.signature.as_deref().unwrap();
    let text = signature.strip_prefix("v1,").unwrap();
    let other = format!("v1,{}", STANDARD.encode([7; 32]));
    vec![
        ("another signature", delivery.with_signature(&other), 401),
        ("a signature cut off", delivery.with_signature(&signature[..signature.len() - 4]), 401),
        ("a signature without its version", delivery.with_signature(text), 401),
        ("a signature of another version", delivery.with_signature(&format!("v2,{text}")), 401),
        ("a version without a signature", delivery.with_signature("v1,"), 401),
        ("a name without a signature", delivery.with_signature("v1"), 401),
        ("two other signatures", delivery.with_signature(&format!("{other} {other}")), 401),
        ("the right signature last", delivery.with_signature(&format!("v1a,{text} v1 {other} {signature}")), 204),
        ("the right signature first", delivery.with_signature(&format!("{signature} {other} v1a,{text}")), 204),
    ]
}

/// Returns variants that are correctly signed.
fn signed_anew(delivery: &Delivery, key: &[u8]) -> Vec<(&'static str, Delivery, u16)> {
    let now = unix_time();
    let at = |time: Duration| delivery.with_timestamp(time.as_secs()).signed_with(key);
    vec![
        ("signed 4 minutes ago", at(now - RECENT), 204),
        ("signed 6 minutes ago", at(now - OLD), 401),
        ("signed in 4 minutes", at(now + RECENT), 204),
        ("signed in 6 minutes", at(now + OLD), 401),
        ("signed in milliseconds", delivery.with_timestamp(now.as_millis()).signed_with(key), 401),
        ("signed without a time", delivery.with_timestamp("now").signed_with(key), 401),
        ("unusual JSON", delivery.with_body(UNUSUAL_JSON).signed_with(key), 204),
    ]
}

#[expect(clippy::disallowed_methods, reason = "receivers compare the timestamp with the clock of the machine")]
fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

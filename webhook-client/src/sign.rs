//! Signatures of Standard Webhooks (version 1.0.0) over `id.timestamp.body`: `v1` is HMAC-SHA256, `v1a` is Ed25519.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_domain::id::EventId;
use gatepost_domain::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::ed25519::Ed25519Seed;

/// Prefix of a signing secret in text form.
pub(crate) const SECRET_PREFIX: &str = "whsec_";

/// A signing secret in plaintext, wiped from memory when dropped.
pub enum SigningSecret {
    /// Shared with the receiver, for a `v1` signature.
    Hmac(Zeroizing<Vec<u8>>),
    /// Known to the sender alone, for a `v1a` signature.
    Ed25519(Ed25519Seed),
}

impl SigningSecret {
    /// Returns secrets and Ed25519 seeds in the order of their signatures.
    pub fn all(secrets: Vec<Zeroizing<Vec<u8>>>, seeds: Vec<Zeroizing<[u8; 32]>>) -> Vec<Self> {
        let secrets = secrets.into_iter().map(SigningSecret::Hmac);
        secrets.chain(seeds.into_iter().map(|seed| SigningSecret::Ed25519(Ed25519Seed::new(seed)))).collect()
    }

    /// Returns its bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            SigningSecret::Hmac(secret) => secret,
            SigningSecret::Ed25519(seed) => seed.as_bytes(),
        }
    }

    fn signature(&self, content: &[u8]) -> String {
        match self {
            SigningSecret::Hmac(secret) => hmac_signature(secret, content),
            SigningSecret::Ed25519(seed) => format!("v1a,{}", STANDARD.encode(seed.sign(content))),
        }
    }
}

/// Returns the text form of a signing secret, as its receiver gets it.
pub fn secret_text(secret: &[u8]) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(secret))
}

/// Parses the text form of a signing secret. Returns `None` if it has another one.
pub fn parse_secret(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(text.strip_prefix(SECRET_PREFIX)?).ok().map(Zeroizing::new)
}

/// Returns the value of the `webhook-signature` header: one signature per secret, separated by a space.
pub fn signatures(secrets: &[SigningSecret], id: &EventId, at: Timestamp, body: &[u8]) -> String {
    let content = signed_content(id.as_str(), at, body);
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.signature(&content)).collect();
    signatures.join(" ")
}

/// Returns one `v1` signature: `v1,` and the HMAC in base 64.
pub fn signature(secret: &[u8], id: &EventId, at: Timestamp, body: &[u8]) -> String {
    hmac_signature(secret, &signed_content(id.as_str(), at, body))
}

fn hmac_signature(secret: &[u8], content: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes any key length");
    mac.update(content);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn signed_content(id: &str, at: Timestamp, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{}.", at.as_seconds()).as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"test": 2432232314}"#;

    /// The content of the vectors that the libraries of Standard Webhooks and Svix are tested with.
    fn published_content() -> Vec<u8> {
        signed_content("msg_p5jXN8AQM9LWM0D4loKWxJek", Timestamp::from_ms(1_614_265_330_000), BODY.as_bytes())
    }

    #[test]
    fn the_published_v1_vector_is_signed_as_published() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = SigningSecret::Hmac(Zeroizing::new(secret)).signature(&published_content());
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_published_v1a_vector_is_signed_as_published() {
        // `whsk_` keys are the seed, followed by the public key.
        let key = "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
        let key = STANDARD.decode(key).unwrap();
        let seed = Ed25519Seed::new(Zeroizing::new(key[..32].try_into().unwrap()));
        assert_eq!(seed.public_key().0, key[32..]);
        assert_eq!(seed.public_key().to_string(), "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=");
        assert_eq!(
            SigningSecret::Ed25519(seed).signature(&published_content()),
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
        );
    }

    /// Python's libraries fail on a second space or on a token without a comma.
    #[test]
    fn signatures_are_separated_by_one_space() {
        let id = EventId::parse("evt_00event").unwrap();
        let secrets = || {
            let (secret, seed) = (Zeroizing::new(vec![7; 32]), Ed25519Seed::new(Zeroizing::new([8; 32])));
            [SigningSecret::Hmac(secret), SigningSecret::Ed25519(seed)]
        };
        let both = signatures(&secrets(), &id, Timestamp::from_ms(1000), b"{}");
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!(first, signature(&[7; 32], &id, Timestamp::from_ms(1000), b"{}"));
        assert!(second.starts_with("v1a,") && !second.contains(' '), "{both}");
        assert_eq!(signatures(&secrets()[..1], &id, Timestamp::from_ms(1000), b"{}"), first);
        assert_eq!(signatures(&[], &id, Timestamp::from_ms(1000), b"{}"), "");
    }
}

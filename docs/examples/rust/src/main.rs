//! Receives webhooks: responds 204 if the signature is valid and 401 if not.

use std::env;
use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{Router, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const TOLERANCE_S: u64 = 5 * 60;

type HmacSha256 = Hmac<Sha256>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = env::var("WEBHOOK_SECRET").unwrap_or_default();
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or_default())?;
    if key.is_empty() {
        return Err("set WEBHOOK_SECRET to the secret of the webhook: whsec_…".into());
    }
    let port = env::var("PORT").unwrap_or("8080".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let router = Router::new().route("/", post(receive)).with_state(HmacSha256::new_from_slice(&key)?);
    Ok(axum::serve(listener, router).await?)
}

/// The signature is that of the body's bytes: parse them afterwards. axum limits them to 2 MB.
async fn receive(State(mac): State<HmacSha256>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !is_genuine(mac, &headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(event) = serde_json::from_slice::<serde_json::Value>(&body) else { return StatusCode::BAD_REQUEST };
    // Do the work later: a response must come within 15 seconds. A repeated delivery has the same id.
    println!("{} {}", event["id"], event["type"]);
    StatusCode::NO_CONTENT
}

fn is_genuine(mut mac: HmacSha256, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let is_recent = timestamp.parse::<u64>().is_ok_and(|sent| sent.abs_diff(now) <= TOLERANCE_S);
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    // Two while the secret is being rotated.
    let is_signed = header("webhook-signature").split(' ').any(|signature| {
        let signature = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
        signature.is_some_and(|signature| mac.clone().verify_slice(&signature).is_ok())
    });
    is_recent && is_signed
}

//! One HTTP attempt of a delivery, under one deadline.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::header_name::normalizes_to;
use gatepost_domain::id::EventId;
use gatepost_domain::key::Secret;
use gatepost_domain::retry_schedule::AttemptOutcome;
use gatepost_domain::time::{Clock, Timestamp};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, redirect};
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use crate::options::{ATTEMPT_DEADLINE, CONNECT_DEADLINE, MAX_RESPONSE_BYTES};
use crate::ssrf_guard::{GuardedResolver, SsrfGuard};
use crate::{retry_after, sign};

/// Header names that Gatepost or HTTP sets.
const RESERVED_HEADERS: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "theauthapi-signature",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// Returns whether a webhook's custom headers must not use a name because a receiver could read it as a header
/// of Gatepost or HTTP.
pub fn is_reserved(name: &str) -> bool {
    RESERVED_HEADERS.iter().any(|reserved| normalizes_to(name, reserved))
}

/// Returns whether a text is a header name (RFC 9110).
pub fn is_header_name(name: &str) -> bool {
    name.parse::<HeaderName>().is_ok()
}

/// Returns whether a text is a header value (RFC 9110).
pub fn is_header_value(value: &str) -> bool {
    value.parse::<HeaderValue>().is_ok()
}

/// A request to send. It contains secrets in plaintext, so it implements no `Debug`.
pub struct Message<'a> {
    /// URL of the receiver.
    pub url: &'a Url,
    /// HTTP method.
    pub method: &'a str,
    /// Custom headers of the webhook. Reserved names are skipped.
    pub headers: &'a [(String, Secret)],
    /// Event id, sent as `webhook-id`.
    pub id: &'a EventId,
    /// Request body.
    pub body: Vec<u8>,
    /// Signing secrets, one signature each. Without any the request is unsigned.
    pub secrets: &'a [SigningSecret],
    /// Token sent as `theauthapi-signature`, as receivers of the hosted product expect.
    pub static_token: Option<&'a Secret>,
}

/// A signing secret in plaintext, wiped from memory when dropped.
pub type SigningSecret = Zeroizing<Vec<u8>>;

/// Opt-in header of the hosted product. It does not authenticate the body and is not derived from the signing
/// secret.
const STATIC_TOKEN: &str = "theauthapi-signature";

/// Result of an attempt.
#[derive(Debug)]
pub struct SendResult {
    /// Outcome for the retry schedule.
    pub outcome: AttemptOutcome,
    /// Status of the response. `None` if there was none.
    pub status: Option<u16>,
    /// What failed. `None` if the message was delivered.
    pub error: Option<String>,
    /// Time at which the attempt started.
    pub started_at: Timestamp,
    /// Duration of the attempt.
    pub elapsed: Duration,
}

/// Error for CA certificates that cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[error(
    "the CA certificates that https webhooks are checked against cannot be loaded ({0}): install the bundle of the \
     system (Debian and Ubuntu: ca-certificates), or name a PEM file with SSL_CERT_FILE"
)]
pub struct LoadCertificatesError(String);

/// Sends messages. Clones share connections.
#[derive(Clone)]
pub struct Sender {
    client: Client,
    guard: SsrfGuard,
    clock: Arc<dyn Clock>,
}

impl Sender {
    /// Creates a sender whose connections are all checked by the guard. It follows no redirects and uses no
    /// proxy.
    ///
    /// # Errors
    ///
    /// Fails if the CA certificates of the system cannot be loaded.
    pub fn new(guard: SsrfGuard, clock: Arc<dyn Clock>) -> Result<Self, LoadCertificatesError> {
        let client = Client::builder()
            .user_agent(concat!("Gatepost/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(GuardedResolver(guard))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(ATTEMPT_DEADLINE)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(8)
            .build()
            .map_err(|error| LoadCertificatesError(root_cause(error)))?;
        Ok(Self { client, guard, clock })
    }

    /// Returns the current time, with which messages are signed.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Signs a message and sends it once. Takes at most [`ATTEMPT_DEADLINE`], including up to 1 s to read the body of
    /// the response.
    pub async fn send(&self, message: Message<'_>) -> SendResult {
        let (at, started) = (self.clock.now(), Instant::now());
        let result = self.send_request(message, at).await;
        let elapsed = started.elapsed();
        match result {
            Ok(response) => result_from_response(&response, at, elapsed),
            Err(error) => {
                let outcome = AttemptOutcome::Failed { retry_after: None };
                SendResult { outcome, status: None, error: Some(error), started_at: at, elapsed }
            }
        }
    }

    async fn send_request(&self, message: Message<'_>, at: Timestamp) -> Result<Response, String> {
        self.guard.check(message.url).map_err(|refused| refused.to_string())?;
        let method = Method::from_bytes(message.method.as_bytes()).map_err(|error| error.to_string())?;
        let request = self
            .client
            .request(method, message.url.clone())
            .headers(request_headers(&message, at)?)
            .body(message.body)
            .send();
        // The client has the same deadline; repeated here so that it cannot be lost.
        let mut response = tokio::time::timeout(ATTEMPT_DEADLINE, request)
            .await
            .map_err(|_| timeout_message())?
            .map_err(describe_error)?;
        drain_response(&mut response).await;
        Ok(response)
    }
}

fn request_headers(message: &Message<'_>, at: Timestamp) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    // A webhook of v0.1.0 may have headers that were reserved later.
    for (name, value) in message.headers.iter().filter(|(name, _)| !is_reserved(name)) {
        let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is not a header name"))?;
        headers.append(name, value.expose().parse().map_err(|_| "a header value is not valid".to_owned())?);
    }
    let signature = sign::signatures(message.secrets, message.id, at, &message.body);
    let own_headers = [
        ("webhook-id", Some(message.id.as_str())),
        ("webhook-timestamp", Some(at.as_seconds().to_string().as_str())),
        ("webhook-signature", Some(signature.as_str()).filter(|_| !message.secrets.is_empty())),
        (STATIC_TOKEN, message.static_token.map(Secret::expose)),
    ]
    .map(|(name, value)| value.map(|value| (name, HeaderValue::from_str(value))));
    for (name, value) in own_headers.into_iter().flatten() {
        headers.insert(name, value.map_err(|_| format!("{name} is not valid"))?);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(headers)
}

/// Reads the start of a response, so that the connection can be reused if the response is short.
async fn drain_response(response: &mut Response) {
    let drain = async {
        let mut read_bytes = 0;
        while read_bytes < MAX_RESPONSE_BYTES {
            match response.chunk().await {
                Ok(Some(chunk)) => read_bytes += chunk.len(),
                Ok(None) | Err(_) => break,
            }
        }
    };
    // Only the status matters: a body that does not end changes nothing.
    let _ = tokio::time::timeout(Duration::from_secs(1), drain).await;
}

fn result_from_response(response: &Response, at: Timestamp, elapsed: Duration) -> SendResult {
    let status = response.status();
    let outcome = if status.is_success() {
        AttemptOutcome::Delivered
    } else if status == StatusCode::GONE {
        AttemptOutcome::Gone
    } else {
        let retry_after_header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        AttemptOutcome::Failed { retry_after: retry_after_header.and_then(|text| retry_after::parse(text, at)) }
    };
    let error =
        (outcome != AttemptOutcome::Delivered).then(|| format!("the receiver responded with {}", status.as_u16()));
    SendResult { outcome, status: Some(status.as_u16()), error, started_at: at, elapsed }
}

fn describe_error(error: reqwest::Error) -> String {
    if error.is_timeout() && error.is_connect() {
        return format!("no connection within {} s", CONNECT_DEADLINE.as_secs());
    }
    if error.is_timeout() {
        return timeout_message();
    }
    root_cause(error)
}

/// Returns the innermost cause, which is the most specific. No cause contains a header or a body. The URL is
/// removed because it may contain a secret.
fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn timeout_message() -> String {
    format!("no response within {} s", ATTEMPT_DEADLINE.as_secs())
}

//! One HTTP try of a delivery, under one deadline.

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

/// Names of headers that are ours, or HTTP's.
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

/// Returns whether a webhook's own headers must not have a name: a receiver could read it as one of ours, or of HTTP's.
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

/// What is sent. It holds values in clear, so it is not printed.
pub struct Message<'a> {
    /// Where to.
    pub url: &'a Url,
    /// How.
    pub method: &'a str,
    /// The webhook's own headers.
    pub headers: &'a [(String, Secret)],
    /// `webhook-id`.
    pub id: &'a EventId,
    /// The body.
    pub body: Vec<u8>,
    /// What signs it: each of these. Without any it carries no signature.
    pub secrets: &'a [SigningSecret],
    /// What is sent as `theauthapi-signature`, as the receivers of the hosted product want it.
    pub static_token: Option<&'a Secret>,
}

/// A signing secret in clear, wiped when dropped.
pub type SigningSecret = Zeroizing<Vec<u8>>;

/// The opt-in header of the hosted product. It proves nothing of the body and is not the signing secret.
const STATIC_TOKEN: &str = "theauthapi-signature";

/// How a try ended.
#[derive(Debug)]
pub struct SendResult {
    /// What the schedule makes of it.
    pub outcome: AttemptOutcome,
    /// The answer's status; absent if there was none.
    pub status: Option<u16>,
    /// What went wrong; absent if it was delivered.
    pub error: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
}

/// Why a sender cannot be made.
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
    /// A sender whose every connection the guard admits: it follows no redirect and uses no proxy.
    ///
    /// # Errors
    ///
    /// Where the certificates of the system cannot be loaded.
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

    /// The moment by which messages are signed.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Signs and sends a message, once.
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
        // The client's own deadline covers this too; it is here so that none can be forgotten.
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
    // A webhook of 0.1.0 may have names that are reserved since.
    for (name, value) in message.headers.iter().filter(|(name, _)| !is_reserved(name)) {
        let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is no header name"))?;
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

/// Reads the beginning of an answer, so that the connection can be used again where it is short.
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
    // The status is what counts: a body that does not end changes nothing.
    drop(tokio::time::timeout(Duration::from_secs(1), drain).await);
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
    let error = (outcome != AttemptOutcome::Delivered).then(|| format!("the receiver answered {}", status.as_u16()));
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

/// The innermost cause says most, and none of them holds a header or a body. An error without one would tell its URL,
/// in which there may be a secret.
fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn timeout_message() -> String {
    format!("no answer within {} s", ATTEMPT_DEADLINE.as_secs())
}

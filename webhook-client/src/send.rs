//! One HTTP attempt of a delivery, under one deadline.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::retry_schedule::AttemptOutcome;
use gatepost_domain::time::{Clock, Timestamp};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Method, Response, StatusCode, redirect};
use tokio::time::Instant;

use crate::bounds::{ATTEMPT_DEADLINE, CONNECT_DEADLINE, MAX_EXCERPT_BYTES};
use crate::message::Message;
use crate::redaction::Redactor;
use crate::response::{BodyStart, CapturedResponse, read_body};
use crate::retry_after;
use crate::send_error::{SendError, root_cause};
use crate::ssrf_guard::{GuardedResolver, PrivateNetworks, SsrfGuard};

/// Result of an attempt.
#[derive(Debug)]
pub struct SendResult {
    /// Outcome for the retry schedule.
    pub outcome: AttemptOutcome,
    /// Status of the response. `None` if there was none.
    pub status: Option<u16>,
    /// What failed. `None` if the message was delivered.
    pub error: Option<SendError>,
    /// Response to a failed attempt. `None` if the message was delivered, if there was no response, and while private
    /// networks are allowed, because a webhook could then be used to read from them (see
    /// [`Sender::capturing_responses`]).
    pub response: Option<CapturedResponse>,
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

/// Whether the response to a failed attempt is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Capture {
    Failed,
    Nothing,
}

impl Capture {
    fn new(private_networks: PrivateNetworks) -> Self {
        match private_networks {
            PrivateNetworks::Refused => Capture::Failed,
            PrivateNetworks::Allowed => Capture::Nothing,
        }
    }

    fn is_wanted(self, status: StatusCode) -> bool {
        self == Capture::Failed && !status.is_success()
    }
}

/// Sends messages. Clones share connections.
#[derive(Clone)]
pub struct Sender {
    client: Client,
    guard: SsrfGuard,
    capture: Capture,
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
        let client = build_client(guard).map_err(|error| LoadCertificatesError(root_cause(error)))?;
        Ok(Self { client, guard, capture: Capture::new(guard.private_networks()), clock })
    }

    /// Captures responses to failed attempts even while private networks are allowed: for a caller who could read from
    /// them anyway.
    #[must_use]
    pub fn capturing_responses(self) -> Self {
        Self { capture: Capture::Failed, ..self }
    }

    /// Returns the current time, with which messages are signed.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Signs a message and sends it once. Takes at most [`ATTEMPT_DEADLINE`], including up to 1 s to read the body of
    /// the response.
    pub async fn send(&self, mut message: Message<'_>) -> SendResult {
        let (at, started) = (self.clock.now(), Instant::now());
        let result = self.send_request(&mut message, at).await;
        let elapsed = started.elapsed();
        match result {
            Ok((response, body)) => {
                let capture = || CapturedResponse::new(response.headers(), &body, &Redactor::new(&message));
                let captured = self.capture.is_wanted(response.status()).then(capture);
                SendResult { response: captured, ..result_from_response(&response, at, elapsed) }
            }
            Err(error) => {
                let outcome = AttemptOutcome::Failed { retry_after: None };
                SendResult { outcome, status: None, error: Some(error), response: None, started_at: at, elapsed }
            }
        }
    }

    /// Sends the request, and takes the body out of the message.
    async fn send_request(&self, message: &mut Message<'_>, at: Timestamp) -> Result<(Response, BodyStart), SendError> {
        self.guard.check(message.url)?;
        let method =
            Method::from_bytes(message.method.as_bytes()).map_err(|_| SendError::Method(message.method.to_owned()))?;
        let request = self
            .client
            .request(method, message.url.clone())
            .headers(message.request_headers(at)?)
            .body(std::mem::take(&mut message.body))
            .send();
        // The client has the same deadline; repeated here so that it cannot be lost.
        let mut response = tokio::time::timeout(ATTEMPT_DEADLINE, request)
            .await
            .map_err(|_| SendError::Timeout)?
            .map_err(SendError::from_transport)?;
        let kept_bytes = if self.capture.is_wanted(response.status()) { MAX_EXCERPT_BYTES } else { 0 };
        let body = read_body(&mut response, kept_bytes).await;
        Ok((response, body))
    }
}

fn build_client(guard: SsrfGuard) -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("Gatepost/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(GuardedResolver(guard))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_DEADLINE)
        .timeout(ATTEMPT_DEADLINE)
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(8)
        .build()
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
    let error = (outcome != AttemptOutcome::Delivered).then_some(SendError::Status(status.as_u16()));
    SendResult { outcome, status: Some(status.as_u16()), error, response: None, started_at: at, elapsed }
}

#[cfg(test)]
mod tests;

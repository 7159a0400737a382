//! The receiver on the developer's machine, and the requests that it gets.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::change::Topic;
use gatepost_domain::id::{EventId, ParseIdError};
use gatepost_domain::sample_event::SampleEvent;
use gatepost_domain::time::Timestamp;
use gatepost_store::clock::SystemClock;
use gatepost_webhook_client::{Message, PrivateNetworks, SendResult, Sender, SigningSecret, SsrfGuard};
use gatepost_wire::{ChangeResource, WebhookPayload};
use url::Url;
use zeroize::Zeroizing;

/// A webhook request, without what is different each time that it is sent.
#[derive(Debug, Clone)]
pub(crate) struct WebhookRequest {
    pub(crate) id: EventId,
    pub(crate) topic: Topic,
    body: Vec<u8>,
}

/// Receiver of webhook requests, signed with a secret of its own.
pub(crate) struct Receiver {
    sender: Sender,
    url: Url,
    secrets: [SigningSecret; 1],
}

impl WebhookRequest {
    /// Builds the request of a change. Returns `None` if it has no topic.
    ///
    /// # Errors
    ///
    /// If the id of the change is none.
    pub(crate) fn of_change(change: ChangeResource) -> Result<Option<Self>, ParseIdError> {
        let Some(topic) = Topic::parse(&change.kind) else { return Ok(None) };
        let id = EventId::parse(&change.id)?;
        Ok(Some(Self { id, topic, body: encode(&WebhookPayload::of_change(change)) }))
    }

    /// Builds the request of a sample event.
    pub(crate) fn of_sample(sample: &SampleEvent) -> Self {
        Self { id: sample.id.clone(), topic: sample.topic, body: encode(&WebhookPayload::of_sample(sample)) }
    }
}

impl Receiver {
    /// Creates the receiver at a URL, which may be in any network: the developer who gives it can reach it anyway.
    ///
    /// # Errors
    ///
    /// If the CA certificates of the system cannot be loaded.
    pub(crate) fn new(url: Url, secret: Zeroizing<Vec<u8>>) -> anyhow::Result<Self> {
        let guard = SsrfGuard::new(PrivateNetworks::Allowed);
        Ok(Self { sender: Sender::new(guard, Arc::new(SystemClock))?, url, secrets: [SigningSecret::Hmac(secret)] })
    }

    /// Signs a request and sends it once, as a delivery.
    pub(crate) async fn send(&self, request: &WebhookRequest) -> SendResult {
        let message = Message {
            url: &self.url,
            method: "POST",
            headers: &[],
            id: &request.id,
            body: request.body.clone(),
            secrets: &self.secrets,
            static_token: None,
            confidential: &[],
        };
        self.sender.send(message).await
    }
}

/// Returns the line that reports what came of a request: time, topic, event id, status or error, duration.
pub(crate) fn outcome_line(
    at: Timestamp,
    topic: &str,
    id: impl Display,
    status: Option<u16>,
    error: Option<&str>,
    took: Duration,
) -> String {
    let outcome = status.map_or_else(|| error.unwrap_or("no response").to_owned(), |status| status.to_string());
    format!("{at}  {topic:<18}  {id}  {outcome}  {} ms", took.as_millis())
}

fn encode(payload: &WebhookPayload) -> Vec<u8> {
    serde_json::to_vec(payload).expect("a payload is a struct with text keys")
}

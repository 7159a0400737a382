//! The receiver on the developer's machine, and the requests that it gets.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::change::Topic;
use gatepost_domain::id::{EventId, ParseIdError};
use gatepost_domain::sample_event::SampleEvent;
use gatepost_domain::time::Timestamp;
use gatepost_store::clock::SystemClock;
use gatepost_webhook_client::{
    CapturedResponse, Message, PrivateNetworks, SendResult, Sender, SigningSecret, SsrfGuard,
};
use gatepost_wire::{ChangeResource, WebhookPayload};
use url::Url;
use zeroize::Zeroizing;

/// Maximum length of the text of a receiver in a line, in characters.
const MAX_TEXT_CHARS: usize = 200;

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
        let sender = Sender::new(guard, Arc::new(SystemClock))?.capturing_responses();
        Ok(Self { sender, url, secrets: [SigningSecret::Hmac(secret)] })
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

/// Returns the line that reports what came of a request, and below it what the receiver wrote if it refused it.
pub(crate) fn sent_lines(request: &WebhookRequest, sent: &SendResult) -> String {
    let error = sent.error.as_ref().map(ToString::to_string);
    let (topic, error) = (request.topic.as_str(), error.as_deref());
    let line = outcome_line(sent.started_at, topic, &request.id, sent.status, error, sent.elapsed);
    match sent.response.as_ref().and_then(receiver_text) {
        Some(text) => format!("{line}\n    {text}"),
        None => line,
    }
}

/// Returns the first line of a receiver's response to a failed attempt that has text, bounded and without control
/// characters. `None` if there is none.
fn receiver_text(response: &CapturedResponse) -> Option<String> {
    let is_printed = |character: &char| !character.is_control();
    let mut lines =
        response.excerpt.as_deref()?.lines().map(|line| line.chars().filter(is_printed).collect::<String>());
    let line = lines.find(|line| !line.trim().is_empty())?;
    let line = line.trim();
    Some(match line.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    })
}

fn encode(payload: &WebhookPayload) -> Vec<u8> {
    serde_json::to_vec(payload).expect("a payload is a struct with text keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_receiver_is_one_bounded_line() {
        let text =
            |excerpt: &str| receiver_text(&CapturedResponse { headers: Vec::new(), excerpt: Some(excerpt.to_owned()) });
        assert_eq!(text("no such order\nat line 3").as_deref(), Some("no such order"));
        assert_eq!(text("\r\n \x1b\n \x1b[31mred\x07 \u{9b}\n").as_deref(), Some("[31mred"));
        assert_eq!(text(&"ä".repeat(1000)), Some(format!("{}…", "ä".repeat(MAX_TEXT_CHARS))));
        assert_eq!(text(" \n"), None);
    }
}

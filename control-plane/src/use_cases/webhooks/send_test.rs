//! Tests of webhooks: a sample event, sent as a real one would be, and what came of it.

use std::time::Duration;

use gatepost_domain::change::Topic;
use gatepost_domain::id::EventId;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Webhook;
use gatepost_domain::retry_schedule::AttemptOutcome;
use gatepost_domain::sample_event::SampleEvent;
use gatepost_domain::shown_key::ShownKey;
use gatepost_store::os_rng;
use gatepost_webhook_client::{ErrorClass, Message, SendResult, SigningSecret};
use url::Url;

use super::validate;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

/// Encodes a sample event as the body of a webhook request.
pub type SampleEncoder = fn(&SampleEvent) -> Vec<u8>;

/// The outcome of a test. It does not show the receiver's response: the caller may not be able to reach the receiver.
#[derive(Debug)]
pub struct WebhookTestResult {
    /// Sent as `webhook-id`.
    pub id: EventId,
    pub topic: Topic,
    pub outcome: AttemptOutcome,
    pub status: Option<u16>,
    pub error: Option<String>,
    pub error_class: Option<ErrorClass>,
    pub took: Duration,
}

impl ControlPlane {
    /// Sends a sample event of a topic to a webhook, once, also if it is paused or does not subscribe to the topic. By
    /// default the topic is the first that it subscribes to.
    ///
    /// # Errors
    /// `not-found` if the caller does not see the webhook, and what a ping is refused for.
    pub async fn test_webhook(
        &self,
        context: &RequestContext,
        id: &str,
        topic: Option<&str>,
        encode: SampleEncoder,
    ) -> Result<WebhookTestResult> {
        let caller = &context.caller;
        caller.require_write()?;
        let found = self.webhook(context, id).await?;
        context.precondition.check(found.position)?;
        let webhook = found.record;
        let url = self.open_url(&webhook)?;
        let sample = SampleEvent {
            id: EventId::generate_in(webhook.account.partition(), &mut os_rng()),
            topic: topic_to_test(&webhook, topic)?,
            at: self.clock.now(),
            account: webhook.account.clone(),
            project: webhook.project.clone(),
            shown_key: ShownKey::Id,
        };
        let transport = self.ssrf_guard.private_networks().transport(&url);
        let shown_key = ShownKey::to(&webhook, sample.record_project().as_ref(), transport);
        let sample = SampleEvent { shown_key, ..sample };
        self.charge_ping(caller)?;
        let _sending = self.acquire_ping(caller).await?;
        let sent = self.send_sample(&webhook, &url, &sample, encode(&sample)).await?;
        Ok(WebhookTestResult {
            id: sample.id,
            topic: sample.topic,
            outcome: sent.outcome,
            status: sent.status,
            error_class: sent.error.as_ref().map(|error| error.class()),
            error: sent.error.map(|error| error.to_string()),
            took: sent.elapsed,
        })
    }

    /// Sends a sample with the method, headers, secrets and token of the webhook, as a delivery.
    async fn send_sample(
        &self,
        webhook: &Webhook,
        url: &Url,
        sample: &SampleEvent,
        body: Vec<u8>,
    ) -> Result<SendResult> {
        let envelope = self.store.envelope();
        let token = webhook.static_token.as_ref();
        let token = token.map(|token| envelope.open_static_token(&webhook.id, token)).transpose()?;
        let now = self.sender.now();
        let secrets =
            SigningSecret::all(envelope.open_signing_secrets(webhook, now)?, envelope.open_signing_keys(webhook, now)?);
        let message = Message {
            url,
            method: &webhook.method,
            headers: &envelope.open_webhook_headers(webhook)?,
            id: &sample.id,
            body,
            secrets: &secrets,
            static_token: token.as_ref(),
            confidential: &[],
        };
        Ok(self.sender.send(message).await)
    }

    fn open_url(&self, webhook: &Webhook) -> Result<Url> {
        Url::parse(self.store.envelope().open_webhook_url(webhook)?.expose())
            .map_err(|error| Failure::refused(ErrorCode::WebhookAddressRefused, format!("url: {error}")))
    }
}

fn topic_to_test(webhook: &Webhook, named: Option<&str>) -> Result<Topic> {
    match named {
        Some(name) => validate::parse_topic("topic", name),
        None => webhook.topics.first().copied().ok_or_else(|| Failure::invalid("topic: is missing")),
    }
}

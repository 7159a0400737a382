//! `gatepost trigger`: sends a sample event to a URL on this machine, or to a webhook.

use std::time::Duration;

use anyhow::bail;
use gatepost_domain::change::Topic;
use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::partition::Partition;
use gatepost_domain::retry_schedule::AttemptOutcome;
use gatepost_domain::sample_event::SampleEvent;
use gatepost_domain::time::Clock;
use gatepost_store::clock::SystemClock;
use gatepost_store::os_rng;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{UsageError, find_admin_url};
use crate::admin_client::AdminClient;
use crate::cli::{Options, TriggerOptions};
use crate::output;
use crate::relay::{Receiver, StateDirectory, WebhookRequest, outcome_line, sent_lines};

/// The response to a test of a webhook.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TestResponse {
    id: String,
    topic: String,
    outcome: String,
    status: Option<u16>,
    error: Option<String>,
    duration_ms: u64,
}

pub(crate) async fn run(options: &Options, trigger: TriggerOptions) -> anyhow::Result<()> {
    match trigger.webhook {
        Some(webhook) => {
            let client = AdminClient::new(find_admin_url(trigger.admin.admin_url, options)?)?;
            test_webhook(&client, &webhook, trigger.topic).await
        }
        None => send_sample(trigger.topic, trigger.forward_to).await,
    }
}

async fn test_webhook(client: &AdminClient, webhook: &WebhookId, topic: Topic) -> anyhow::Result<()> {
    let body = json!({"topic": topic.as_str()});
    let test: TestResponse = client.post(&["webhooks", webhook.as_str(), "test"], body).await?;
    let took = Duration::from_millis(test.duration_ms);
    let error = test.error.as_deref();
    output::print_line(&outcome_line(SystemClock.now(), &test.topic, &test.id, test.status, error, took))?;
    if test.outcome != "delivered" {
        bail!("the webhook did not accept the sample");
    }
    Ok(())
}

async fn send_sample(topic: Topic, forward_to: Option<Url>) -> anyhow::Result<()> {
    let state = StateDirectory::open()?;
    let url = match forward_to {
        Some(url) => url,
        None => state.target()?.ok_or_else(|| {
            UsageError("name the receiver with --forward-to or --webhook, or run `gatepost listen` first".to_owned())
        })?,
    };
    let receiver = Receiver::new(url.clone(), state.signing_secret()?)?;
    let id = EventId::generate_in(Partition::default(), &mut os_rng());
    let request = WebhookRequest::of_sample(&SampleEvent::without_account(id, topic, SystemClock.now()));
    let sent = receiver.send(&request).await;
    output::print_line(&sent_lines(&request, &sent))?;
    if sent.outcome != AttemptOutcome::Delivered {
        bail!("{url} did not accept the sample");
    }
    Ok(())
}

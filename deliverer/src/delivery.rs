//! One delivery in a worker's hands: build, sign, send, settle.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::id::WebhookId;
use gatepost_domain::record::{Webhook, WebhookStatus};
use gatepost_domain::retry_schedule::{Attempt, AttemptOutcome, NextStep, next_step};
use gatepost_domain::time::Timestamp;
use gatepost_store::ops::{Disposition, RawSettlement};
use gatepost_store::{LeasedDelivery, Result, StoreErrorKind, os_rng};
use url::Url;

use crate::attempt;
use crate::context::DelivererContext;
use crate::lease::{DeliveryLease, WebhookSnapshot};
use crate::options::{PAUSED_RECHECK_INTERVAL, STOP_GRACE};
use crate::payload::{self, SeesValues};
use crate::send::{Message, SendResult, SigningSecret};

/// How a delivery goes on, and what is remembered.
struct DeliveryResult {
    step: Disposition,
    attempt: Option<Vec<u8>>,
    /// Its label in metrics; none if nothing was tried and nothing has ended.
    outcome: Option<&'static str>,
}

/// Delivers, or gives the delivery back.
pub(crate) async fn deliver(context: DelivererContext, lease: Arc<DeliveryLease>) {
    let delivering = async {
        let result = tokio::select! {
            result = attempt_once(&context, &lease) => result,
            () = wait_for_stop_deadline(&context) => Ok(DeliveryResult::without_attempt(Disposition::Defer(Duration::ZERO))),
        };
        match result {
            Ok(result) => settle(&context, &lease, result).await,
            // Waiting would make it no better.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                tracing::error!(%error, webhook = lease.webhook.as_str(), "a delivery cannot be made");
                settle(&context, &lease, DeliveryResult::without_attempt(Disposition::DeadLetter(error.to_string())))
                    .await;
            }
            Err(error) => {
                tracing::warn!(%error, webhook = lease.webhook.as_str(), "a delivery waits for its lease to end");
            }
        }
    };
    lease.extend_while(&context.store, delivering).await;
}

/// Settles a delivery whose task has panicked as a failed attempt: it is tried again on its schedule.
pub(crate) async fn fail(context: DelivererContext, lease: Arc<DeliveryLease>) {
    let sent = SendResult {
        outcome: AttemptOutcome::Failed { retry_after: None },
        status: None,
        error: Some("an internal error".to_owned()),
        started_at: context.sender.now(),
        elapsed: Duration::ZERO,
    };
    settle(&context, &lease, result_of_attempt(&lease.leased, &sent)).await;
}

async fn settle(context: &DelivererContext, lease: &DeliveryLease, result: DeliveryResult) {
    if let Some(outcome) = result.outcome {
        context.metrics.count_outcome(outcome);
    }
    let settlement = RawSettlement {
        webhook: lease.webhook.clone(),
        event: lease.leased.event_id.clone(),
        token: lease.token.clone(),
        disposition: result.step,
        attempt: result.attempt,
    };
    context.ack_batcher.settle_with_retry(settlement, &lease.deadline).await;
}

/// Waits until a stop, and for what is granted after it.
async fn wait_for_stop_deadline(context: &DelivererContext) {
    // The sender is gone only when the deliverer is: that is a stop too.
    drop(context.stopped.clone().wait_for(|stopped| *stopped).await);
    tokio::time::sleep(STOP_GRACE).await;
}

impl DeliveryResult {
    fn without_attempt(step: Disposition) -> Self {
        let outcome = match &step {
            Disposition::DeadLetter(_) => Some("dead"),
            Disposition::Dropped => Some("dropped"),
            Disposition::Delivered | Disposition::Retry(_) | Disposition::Defer(_) => None,
        };
        Self { step, attempt: None, outcome }
    }
}

async fn attempt_once(context: &DelivererContext, lease: &DeliveryLease) -> Result<DeliveryResult> {
    let without_attempt = |step: Disposition| Ok(DeliveryResult::without_attempt(step));
    let webhook = match &lease.webhook_snapshot {
        WebhookSnapshot::Found(webhook) => webhook.as_ref(),
        WebhookSnapshot::Deleted => return without_attempt(Disposition::Dropped),
        WebhookSnapshot::Unreadable(reason) => return without_attempt(Disposition::DeadLetter(reason.clone())),
    };
    let leased = &lease.leased;
    if webhook.status == WebhookStatus::Paused {
        return without_attempt(Disposition::Defer(PAUSED_RECHECK_INTERVAL));
    }
    let event = match &leased.event {
        Ok(event) => event,
        Err(reason) => return without_attempt(Disposition::DeadLetter(reason.clone())),
    };
    let Ok(url) = Url::parse(context.store.open_webhook_url(webhook)?.expose()) else {
        return without_attempt(Disposition::DeadLetter("its URL cannot be read".to_owned()));
    };
    let secret =
        match payload::may_see_values(webhook, &url, event.metadata.project.as_ref(), context.options.private_networks)
        {
            SeesValues::Yes => context.store.open_secret(leased)?,
            SeesValues::No => None,
        };
    let body = payload::build(event, secret.as_ref());
    drop(secret);
    let sent = send(context, webhook, &url, leased, body).await?;
    record_metrics(context, &webhook.id, &sent, event.at);
    Ok(result_of_attempt(leased, &sent))
}

async fn send(
    context: &DelivererContext,
    webhook: &Webhook,
    url: &Url,
    leased: &LeasedDelivery,
    body: Vec<u8>,
) -> Result<SendResult> {
    let secrets = secrets(context, webhook)?;
    let token = webhook.static_token.as_ref();
    let token = token.map(|token| context.store.open_static_token(&webhook.id, token)).transpose()?;
    let headers = context.store.open_webhook_headers(webhook)?;
    let message = Message {
        url,
        method: &webhook.method,
        headers: &headers,
        id: &leased.event_id,
        body,
        secrets: &secrets,
        static_token: token.as_ref(),
    };
    Ok(context.sender.send(message).await)
}

/// The secret, and those before it that have not run out yet.
fn secrets(context: &DelivererContext, webhook: &Webhook) -> Result<Vec<SigningSecret>> {
    let now = context.sender.now();
    let old = webhook.old_secrets.iter().filter(|old| now < old.until).map(|old| &old.secret);
    let all = std::iter::once(&webhook.secret).chain(old);
    all.map(|sealed| context.store.open_webhook_secret(&webhook.id, sealed)).collect()
}

fn result_of_attempt(leased: &LeasedDelivery, sent: &SendResult) -> DeliveryResult {
    let number = Attempt::new(leased.attempts_made.saturating_add(1)).unwrap_or(Attempt::FIRST);
    let step = match next_step(number, &sent.outcome, &mut os_rng()) {
        NextStep::Done => Disposition::Delivered,
        NextStep::Retry(wait) => Disposition::Retry(wait),
        NextStep::DeadLetter => Disposition::DeadLetter(sent.error.clone().unwrap_or_default()),
    };
    let outcome = match (&step, attempt::outcome_label(&sent.outcome)) {
        (Disposition::DeadLetter(_), "failed") => "dead",
        (_, label) => label,
    };
    DeliveryResult {
        step,
        attempt: Some(attempt::to_json_line(&leased.event_id, number, sent)),
        outcome: Some(outcome),
    }
}

fn record_metrics(context: &DelivererContext, webhook: &WebhookId, sent: &SendResult, event_at: Timestamp) {
    context.scheduler.record_duration(webhook, sent.elapsed);
    context.metrics.delivery_duration_s.observe(sent.elapsed.as_secs_f64());
    if sent.error.is_none() {
        let since = sent.started_at.since(event_at) + sent.elapsed;
        context.metrics.event_to_delivery_s.observe(since.as_secs_f64());
    }
}

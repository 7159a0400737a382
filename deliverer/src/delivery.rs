//! One leased delivery: build the request, sign, send, settle.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::record::WebhookState;
use gatepost_domain::retry_schedule::{Attempt, AttemptOutcome, NextStep, RetrySchedule, next_step};
use gatepost_domain::shown_key::ShownKey;
use gatepost_domain::time::Timestamp;
use gatepost_runtime::error_chain;
use gatepost_store::{
    AttemptRecord, AttemptResponse, Disposition, LeasedDelivery, MAX_HOLD, RecordedOutcome, Result, Settlement,
    StoreErrorKind, os_rng,
};
use gatepost_webhook_client::{Message, SendResult};

use crate::context::DelivererContext;
use crate::lease::{DeliveryLease, WebhookSnapshot};
use crate::options::{DISABLED, STOP_GRACE};
use crate::payload;
use crate::receiver_health;

/// Result of a delivery: how it continues, and the record of the attempt.
struct DeliveryResult {
    disposition: Disposition,
    attempt: Option<AttemptRecord>,
    /// Time for which the receiver asked that nothing is sent to its webhook.
    hold: Option<Duration>,
    /// Label in metrics. `None` if nothing was attempted and the delivery continues.
    outcome: Option<&'static str>,
}

/// Attempts a leased delivery and settles it, or releases it if the deliverer stops.
pub(crate) async fn deliver(context: Arc<DelivererContext>, lease: Arc<DeliveryLease>) {
    let delivering = async {
        let result = tokio::select! {
            result = attempt_once(&context, &lease) => result,
            () = wait_for_stop_deadline(&context) => Ok(DeliveryResult::without_attempt(Disposition::Defer(Duration::ZERO))),
        };
        let result = match result {
            Ok(result) => result,
            // A retry would fail in the same way.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                tracing::error!(
                    error = %error_chain(&error),
                    webhook = lease.webhook.as_str(),
                    "delivery failed and becomes a dead letter"
                );
                DeliveryResult::without_attempt(Disposition::DeadLetter(error_chain(&error)))
            }
            Err(error) => {
                tracing::warn!(
                    error = %error_chain(&error),
                    webhook = lease.webhook.as_str(),
                    "delivery failed, retrying when its lease ends (30 s)"
                );
                return;
            }
        };
        settle(&context, &lease, result).await;
    };
    lease.extend_while(&context.store, delivering).await;
}

/// Settles a delivery whose task has panicked as a failed attempt, which is retried on its schedule.
pub(crate) async fn settle_after_panic(context: Arc<DelivererContext>, lease: Arc<DeliveryLease>) {
    let attempt = AttemptRecord {
        event_id: lease.leased.event_id.clone(),
        number: attempt_number(&lease.leased),
        at: context.sender.now(),
        outcome: RecordedOutcome::Failed,
        status: None,
        error: Some("internal error".to_owned()),
        error_class: None,
        duration: Duration::ZERO,
        response: None,
    };
    let failed = AttemptOutcome::Failed { retry_after: None };
    settle(&context, &lease, result_of_attempt(lease.webhook_snapshot.schedule(), attempt, &failed)).await;
}

async fn settle(context: &DelivererContext, lease: &DeliveryLease, result: DeliveryResult) {
    if let Some(outcome) = result.outcome {
        context.metrics.count_outcome(outcome);
    }
    let settlement = Arc::new(Settlement {
        webhook: lease.webhook.clone(),
        delivery: Arc::clone(&lease.leased),
        token: lease.token.clone(),
        disposition: result.disposition,
        attempt: result.attempt,
        hold: result.hold,
    });
    let streak = context.ack_batcher.settle_with_retry(&settlement, &lease.deadline).await;
    if let (WebhookSnapshot::Found(webhook), Some(attempt)) = (&lease.webhook_snapshot, &settlement.attempt) {
        receiver_health::note_attempt(context, &webhook.record, attempt, streak).await;
    }
}

/// Waits for a stop and the grace period after it.
async fn wait_for_stop_deadline(context: &DelivererContext) {
    // A dropped sender means that the deliverer is gone, which is a stop too.
    let _ = context.stopped.clone().wait_for(|stopped| *stopped).await;
    tokio::time::sleep(STOP_GRACE).await;
}

impl DeliveryResult {
    fn without_attempt(disposition: Disposition) -> Self {
        let outcome = match &disposition {
            Disposition::DeadLetter(_) => Some("dead"),
            Disposition::Dropped => Some("dropped"),
            Disposition::Delivered | Disposition::Retry(_) | Disposition::Defer(_) => None,
        };
        Self { disposition, attempt: None, hold: None, outcome }
    }
}

async fn attempt_once(context: &DelivererContext, lease: &DeliveryLease) -> Result<DeliveryResult> {
    let without_attempt = |disposition: Disposition| Ok(DeliveryResult::without_attempt(disposition));
    let found = match &lease.webhook_snapshot {
        WebhookSnapshot::Found(found) => found,
        WebhookSnapshot::Deleted => return without_attempt(Disposition::Dropped),
        WebhookSnapshot::Unreadable(error) => return without_attempt(Disposition::DeadLetter(error_chain(error))),
    };
    let (webhook, leased) = (&found.record, &lease.leased);
    if webhook.state() == WebhookState::Disabled {
        return without_attempt(Disposition::DeadLetter(DISABLED.to_owned()));
    }
    let event = match &leased.event {
        Ok(event) => event,
        Err(error) => return without_attempt(Disposition::DeadLetter(error_chain(error))),
    };
    let receiver = found.receiver(context.store.envelope(), context.sender.now())?;
    let Some(url) = &receiver.url else {
        return without_attempt(Disposition::DeadLetter("the URL of the webhook is malformed".to_owned()));
    };
    let shown = payload::shown_key(webhook, url, event, context.options.private_networks);
    let secret = if shown == ShownKey::Value { context.store.open_secret(leased)? } else { None };
    let confidential = secret.as_ref();
    let message = Message {
        url,
        method: &webhook.method,
        headers: &receiver.headers,
        id: &leased.event_id,
        body: payload::build(event, shown, confidential),
        secrets: &receiver.secrets,
        static_token: receiver.static_token.as_ref(),
        confidential: confidential.as_slice(),
    };
    let sent = context.sender.send(message).await;
    context.scheduler.record_duration(&webhook.id, sent.elapsed);
    record_metrics(context, &sent, event.at);
    let outcome = sent.outcome;
    Ok(result_of_attempt(webhook.delivery.schedule(), attempt_record(leased, sent), &outcome))
}

fn attempt_number(leased: &LeasedDelivery) -> Attempt {
    Attempt::new(leased.attempts_made.saturating_add(1)).unwrap_or(Attempt::FIRST)
}

fn attempt_record(leased: &LeasedDelivery, sent: SendResult) -> AttemptRecord {
    AttemptRecord {
        event_id: leased.event_id.clone(),
        number: attempt_number(leased),
        at: sent.started_at,
        outcome: sent.outcome.into(),
        status: sent.status,
        error_class: sent.error.as_ref().map(|error| error.class().as_str().to_owned()),
        error: sent.error.map(|error| error.to_string()),
        duration: sent.elapsed,
        response: sent
            .response
            .map(|response| AttemptResponse { headers: response.headers, excerpt: response.excerpt }),
    }
}

fn result_of_attempt(schedule: &RetrySchedule, attempt: AttemptRecord, outcome: &AttemptOutcome) -> DeliveryResult {
    let hold = hold_of(attempt.status, outcome);
    // The hold makes this delivery wait like all others, and its end releases all of them.
    let outcome = if hold.is_some() { &AttemptOutcome::Failed { retry_after: None } } else { outcome };
    let disposition = match next_step(schedule, attempt.number, outcome, &mut os_rng()) {
        NextStep::Done => Disposition::Delivered,
        NextStep::Retry(wait) => Disposition::Retry(wait),
        NextStep::DeadLetter => Disposition::DeadLetter(attempt.error.clone().unwrap_or_default()),
    };
    let label = match (&disposition, attempt.outcome) {
        (Disposition::DeadLetter(_), RecordedOutcome::Failed) => "dead",
        (_, outcome) => outcome.as_str(),
    };
    DeliveryResult { disposition, attempt: Some(attempt), hold, outcome: Some(label) }
}

/// Returns for how long a response pauses the whole webhook: 429 and 503 with `Retry-After` do (RFC 9110, 10.2.3).
fn hold_of(status: Option<u16>, outcome: &AttemptOutcome) -> Option<Duration> {
    match (status, outcome) {
        (Some(429 | 503), AttemptOutcome::Failed { retry_after: Some(wait) }) => Some((*wait).min(MAX_HOLD)),
        _ => None,
    }
}

fn record_metrics(context: &DelivererContext, sent: &SendResult, event_at: Timestamp) {
    context.metrics.delivery_duration_s.observe(sent.elapsed.as_secs_f64());
    if sent.error.is_none() {
        let since = sent.started_at.since(event_at) + sent.elapsed;
        context.metrics.event_to_delivery_s.observe(since.as_secs_f64());
    }
}

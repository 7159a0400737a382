//! One delivery in a worker's hands: build, sign, send, settle.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::id::WebhookId;
use gatepost_domain::record::{Webhook, WebhookStatus};
use gatepost_domain::schedule::{Attempt, NextStep, Outcome, next_step};
use gatepost_domain::time::Timestamp;
use gatepost_store::act::{RawSettle, Step};
use gatepost_store::{Leased, Result, StoreErrorKind, os_rng};
use url::Url;

use crate::attempt;
use crate::body::{self, SeesValues};
use crate::lease::{Addressee, Lease};
use crate::options::{PAUSED_WAIT, STOP_GRACE};
use crate::send::{Message, Sent, SigningSecret};
use crate::shared::Shared;

/// How a delivery goes on, and what is remembered.
struct Ended {
    step: Step,
    attempt: Option<Vec<u8>>,
    /// Its label in metrics; none if nothing was tried and nothing has ended.
    outcome: Option<&'static str>,
}

/// Delivers, or gives the delivery back.
pub(crate) async fn deliver(shared: Shared, lease: Arc<Lease>) {
    let delivering = async {
        let attempted = tokio::select! {
            attempted = attempt_once(&shared, &lease) => attempted,
            () = cut_off(&shared) => Ok(Ended::without_attempt(Step::Wait(Duration::ZERO))),
        };
        match attempted {
            Ok(ended) => settle(&shared, &lease, ended).await,
            // Waiting would make it no better.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                tracing::error!(%error, webhook = lease.webhook.as_str(), "a delivery cannot be made");
                settle(&shared, &lease, Ended::without_attempt(Step::Dead(error.to_string()))).await;
            }
            Err(error) => {
                tracing::warn!(%error, webhook = lease.webhook.as_str(), "a delivery waits for its lease to end");
            }
        }
    };
    lease.prolonged(&shared.store, delivering).await;
}

/// Settles a delivery whose task has panicked as a failed attempt: it is tried again on its schedule.
pub(crate) async fn fail(shared: Shared, lease: Arc<Lease>) {
    let sent = Sent {
        outcome: Outcome::Failed { retry_after: None },
        status: None,
        error: Some("an internal error".to_owned()),
        at: shared.sender.now(),
        took: Duration::ZERO,
    };
    settle(&shared, &lease, ended(&lease.leased, &sent)).await;
}

async fn settle(shared: &Shared, lease: &Lease, ended: Ended) {
    if let Some(outcome) = ended.outcome {
        shared.metrics.count(outcome);
    }
    let settle = RawSettle {
        webhook: lease.webhook.clone(),
        event: lease.leased.event_id.clone(),
        token: lease.token.clone(),
        step: ended.step,
        attempt: ended.attempt,
    };
    shared.settler.settle(settle, &lease.ends).await;
}

/// Waits until a stop, and for what is granted after it.
async fn cut_off(shared: &Shared) {
    // The sender is gone only when the deliverer is: that is a stop too.
    drop(shared.stopped.clone().wait_for(|stopped| *stopped).await);
    tokio::time::sleep(STOP_GRACE).await;
}

impl Ended {
    fn without_attempt(step: Step) -> Self {
        let outcome = match &step {
            Step::Dead(_) => Some("dead"),
            Step::Dropped => Some("dropped"),
            Step::Done | Step::Retry(_) | Step::Wait(_) => None,
        };
        Self { step, attempt: None, outcome }
    }
}

async fn attempt_once(shared: &Shared, lease: &Lease) -> Result<Ended> {
    let without_attempt = |step: Step| Ok(Ended::without_attempt(step));
    let webhook = match &lease.addressee {
        Addressee::Known(webhook) => webhook.as_ref(),
        Addressee::Gone => return without_attempt(Step::Dropped),
        Addressee::Unreadable(reason) => return without_attempt(Step::Dead(reason.clone())),
    };
    let leased = &lease.leased;
    if webhook.status == WebhookStatus::Paused {
        return without_attempt(Step::Wait(PAUSED_WAIT));
    }
    let event = match &leased.event {
        Ok(event) => event,
        Err(reason) => return without_attempt(Step::Dead(reason.clone())),
    };
    let Ok(url) = Url::parse(shared.store.open_webhook_url(webhook)?.expose()) else {
        return without_attempt(Step::Dead("its URL cannot be read".to_owned()));
    };
    let secret = match body::may_see_values(webhook, &url, event.head.project.as_ref(), shared.options.private_networks)
    {
        SeesValues::Yes => shared.store.open_secret(leased)?,
        SeesValues::No => None,
    };
    let body = body::build(event, secret.as_ref());
    drop(secret);
    let sent = send(shared, webhook, &url, leased, body).await?;
    observe(shared, &webhook.id, &sent, event.at);
    Ok(ended(leased, &sent))
}

async fn send(shared: &Shared, webhook: &Webhook, url: &Url, leased: &Leased, body: Vec<u8>) -> Result<Sent> {
    let secrets = secrets(shared, webhook)?;
    let token = webhook.static_token.as_ref();
    let token = token.map(|token| shared.store.open_static_token(&webhook.id, token)).transpose()?;
    let headers = shared.store.open_webhook_headers(webhook)?;
    let message = Message {
        url,
        method: &webhook.method,
        headers: &headers,
        id: &leased.event_id,
        body,
        secrets: &secrets,
        static_token: token.as_ref(),
    };
    Ok(shared.sender.send(message).await)
}

/// The secret, and those before it that have not run out yet.
fn secrets(shared: &Shared, webhook: &Webhook) -> Result<Vec<SigningSecret>> {
    let now = shared.sender.now();
    let old = webhook.old_secrets.iter().filter(|old| now < old.until).map(|old| &old.secret);
    let all = std::iter::once(&webhook.secret).chain(old);
    all.map(|sealed| shared.store.open_webhook_secret(&webhook.id, sealed)).collect()
}

fn ended(leased: &Leased, sent: &Sent) -> Ended {
    let number = Attempt::new(leased.attempts_made.saturating_add(1)).unwrap_or(Attempt::FIRST);
    let step = match next_step(number, &sent.outcome, &mut os_rng()) {
        NextStep::Done => Step::Done,
        NextStep::Retry(wait) => Step::Retry(wait),
        NextStep::Dead => Step::Dead(sent.error.clone().unwrap_or_default()),
    };
    let outcome = match (&step, attempt::label(&sent.outcome)) {
        (Step::Dead(_), "failed") => "dead",
        (_, label) => label,
    };
    Ended { step, attempt: Some(attempt::line(&leased.event_id, number, sent)), outcome: Some(outcome) }
}

fn observe(shared: &Shared, webhook: &WebhookId, sent: &Sent, event_at: Timestamp) {
    shared.shares.learn(webhook, sent.took);
    shared.metrics.delivery_duration_s.observe(sent.took.as_secs_f64());
    if sent.error.is_none() {
        let since = sent.at.since(event_at) + sent.took;
        shared.metrics.event_to_delivery_s.observe(since.as_secs_f64());
    }
}

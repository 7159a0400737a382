//! One delivery in a worker's hands: build, sign, send, settle.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::id::{LeaseToken, WebhookId};
use gatepost_domain::record::{Webhook, WebhookStatus};
use gatepost_domain::schedule::{Attempt, NextStep, next_step};
use gatepost_store::act::{RawSettle, Step};
use gatepost_store::{Leased, Result, os_rng};
use url::Url;

use crate::attempt;
use crate::body::{self, SeesValues};
use crate::options::{EXTEND_EVERY, LEASE, PAUSED_WAIT, STOP_GRACE};
use crate::send::{Message, Sent, SigningSecret};
use crate::shared::Shared;

/// A delivery that is held.
pub(crate) struct Lease {
    pub(crate) webhook: WebhookId,
    /// As it was when the delivery was leased; none if it is gone.
    pub(crate) record: Option<Arc<Webhook>>,
    pub(crate) token: LeaseToken,
    pub(crate) leased: Leased,
}

/// How a delivery goes on, and what is remembered.
struct Ended {
    step: Step,
    attempt: Option<Vec<u8>>,
}

/// Delivers, or gives the delivery back.
pub(crate) async fn deliver(shared: Shared, lease: Lease) {
    let attempt = attempt_once(&shared, &lease);
    let attempted = tokio::select! {
        attempted = holding(&shared, &lease, attempt) => attempted,
        () = cut_off(&shared) => Ok(Ended { step: Step::Wait(Duration::ZERO), attempt: None }),
    };
    let ended = match attempted {
        Ok(ended) => ended,
        Err(error) => {
            tracing::warn!(%error, webhook = lease.webhook.as_str(), "a delivery waits for its lease to end");
            return; // Its lease runs out.
        }
    };
    count_end(&shared, &ended.step);
    let Lease { webhook, token, leased, .. } = lease;
    let settle = RawSettle { webhook, event: leased.event_id, token, step: ended.step, attempt: ended.attempt };
    shared.settler.settle(settle).await;
}

/// Waits until a stop, and for what is granted after it.
async fn cut_off(shared: &Shared) {
    // The sender is gone only when the deliverer is: that is a stop too.
    drop(shared.stopped.clone().wait_for(|stopped| *stopped).await);
    tokio::time::sleep(STOP_GRACE).await;
}

/// Prolongs a lease for as long as an attempt takes.
async fn holding<T>(shared: &Shared, lease: &Lease, attempt: impl Future<Output = T>) -> T {
    let prolong = async || -> Infallible {
        loop {
            tokio::time::sleep(EXTEND_EVERY).await;
            // One that is lost is noticed when the attempt is settled.
            drop(shared.store.extend_lease(&lease.webhook, &lease.leased.event_id, &lease.token, LEASE).await);
        }
    };
    tokio::select! {
        ended = attempt => ended,
        never = prolong() => match never {},
    }
}

async fn attempt_once(shared: &Shared, lease: &Lease) -> Result<Ended> {
    let without_attempt = |step: Step| Ok(Ended { step, attempt: None });
    let Some(webhook) = lease.record.as_deref() else {
        return without_attempt(Step::Dropped);
    };
    let leased = &lease.leased;
    if webhook.status == WebhookStatus::Paused {
        return without_attempt(Step::Wait(PAUSED_WAIT));
    }
    let event = match &leased.event {
        Ok(event) => event,
        Err(reason) => return without_attempt(Step::Dead(reason.clone())),
    };
    let Ok(url) = Url::parse(&webhook.url) else {
        return without_attempt(Step::Dead("its URL cannot be read".to_owned()));
    };
    let secret = match body::may_see_values(webhook, &url, event, shared.options.private_networks) {
        SeesValues::Yes => shared.store.open_secret(leased)?,
        SeesValues::No => None,
    };
    let body = body::build(event, secret.as_ref());
    drop(secret);
    let sent = send(shared, webhook, &url, leased, body).await?;
    observe(shared, &sent, event.at);
    Ok(ended(leased, &sent))
}

async fn send(shared: &Shared, webhook: &Webhook, url: &Url, leased: &Leased, body: Vec<u8>) -> Result<Sent> {
    let secrets = secrets(shared, webhook)?;
    let token = webhook.static_token.as_ref();
    let token = token.map(|token| shared.store.open_static_token(&webhook.id, token)).transpose()?;
    let message = Message {
        url,
        method: &webhook.method,
        headers: &webhook.custom_headers,
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
    Ended { step, attempt: Some(attempt::line(&leased.event_id, number, sent)) }
}

fn observe(shared: &Shared, sent: &Sent, event_at: gatepost_domain::time::Timestamp) {
    shared.metrics.count(attempt::label(&sent.outcome));
    shared.metrics.delivery_duration_s.observe(sent.took.as_secs_f64());
    if sent.error.is_none() {
        let since = sent.at.since(event_at) + sent.took;
        shared.metrics.event_to_delivery_s.observe(since.as_secs_f64());
    }
}

fn count_end(shared: &Shared, step: &Step) {
    match step {
        Step::Dead(_) => shared.metrics.count("dead"),
        Step::Dropped => shared.metrics.count("dropped"),
        Step::Done | Step::Retry(_) | Step::Wait(_) => {}
    }
}

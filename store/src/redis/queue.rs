//! Fan-out, leases and settling on Redis.

use std::time::Duration;

use gatepost_domain::id::{EventId, LeaseToken, WebhookId};

use crate::act::{DROPPED_A_CALL, FanOutAnswer, Held, LeaseRequest, RawFanOut, RawLeased, RawSettle, Step};
use crate::act::{MAX_ATTEMPTS_KEPT, MAX_DEAD_LETTERS, MAX_QUARANTINED};
use crate::error::{Result, StoreErrorKind};
use crate::options::COMMIT_DEADLINE;
use crate::packed::version_text;

use super::answer::Answer;
use super::{Arguments, Redis, scripts};

impl Redis {
    pub(crate) async fn fan_out(&self, step: RawFanOut) -> Result<FanOutAnswer> {
        let mut answer = self.act(&scripts::FAN_OUT, COMMIT_DEADLINE, fan_out_arguments(step)).await?;
        match answer.word.as_str() {
            "moved" => Ok(FanOutAnswer::Moved { overflowed: answer.next()? }),
            "lost" => Ok(FanOutAnswer::Lost),
            _ => answer.unknown(),
        }
    }

    pub(crate) async fn lease_deliveries(&self, request: LeaseRequest) -> Result<Vec<RawLeased>> {
        let arguments = Arguments::default()
            .text(request.webhook.as_str())
            .text(request.token.as_str())
            .number(request.max)
            .number(request.in_flight_cap)
            .ms(request.lease);
        let mut answer = self.act(&scripts::LEASE_DELIVERIES, COMMIT_DEADLINE, arguments).await?;
        let mut leased = Vec::new();
        while !answer.is_empty() {
            leased.push(RawLeased {
                event: event(&mut answer)?,
                body: answer.next()?,
                sealed: answer.next()?,
                attempts_made: answer.next()?,
                created_at: answer.moment()?,
            });
        }
        Ok(leased)
    }

    pub(crate) async fn extend_lease(
        &self,
        webhook: WebhookId,
        event: EventId,
        token: LeaseToken,
        lease: Duration,
    ) -> Result<Held> {
        let arguments = Arguments::default().text(webhook.as_str()).text(event.as_str()).text(token.as_str()).ms(lease);
        held(self.act(&scripts::EXTEND_LEASE, COMMIT_DEADLINE, arguments).await?)
    }

    pub(crate) async fn settle(&self, settlements: Vec<RawSettle>) -> Result<Vec<Held>> {
        let limits = Arguments::default().number(MAX_ATTEMPTS_KEPT).number(MAX_DEAD_LETTERS);
        let arguments = limits.number(settlements.len() as u64);
        let arguments = settlements.into_iter().fold(arguments, settle_arguments);
        let mut answer = self.act(&scripts::SETTLE, COMMIT_DEADLINE, arguments).await?;
        let mut all = Vec::new();
        while !answer.is_empty() {
            let word: String = answer.next()?;
            all.push(held_by(&word).ok_or_else(|| StoreErrorKind::Corrupt.with(format!("settling answered {word}")))?);
        }
        Ok(all)
    }

    pub(crate) async fn resend(&self, webhook: WebhookId, event: EventId) -> Result<Held> {
        let arguments = Arguments::default().text(webhook.as_str()).text(event.as_str());
        held(self.act(&scripts::RESEND, COMMIT_DEADLINE, arguments).await?)
    }

    pub(crate) async fn drop_queue(&self, webhook: WebhookId) -> Result<u64> {
        let arguments = Arguments::default().text(webhook.as_str()).number(DROPPED_A_CALL);
        self.act(&scripts::DROP_QUEUE, COMMIT_DEADLINE, arguments).await?.next()
    }
}

fn settle_arguments(arguments: Arguments, settle: RawSettle) -> Arguments {
    let arguments = arguments.text(settle.webhook.as_str()).text(settle.event.as_str()).text(settle.token.as_str());
    let arguments = match &settle.step {
        Step::Done => arguments.text("done").text(""),
        Step::Dropped => arguments.text("dropped").text(""),
        Step::Retry(wait) => arguments.text("retry").ms(*wait),
        Step::Wait(wait) => arguments.text("wait").ms(*wait),
        Step::Dead(reason) => arguments.text("dead").text(reason),
    };
    arguments.bytes(settle.attempt.unwrap_or_default())
}

fn fan_out_arguments(step: RawFanOut) -> Arguments {
    let mut arguments = Arguments::default()
        .bytes(version_text(step.expected))
        .bytes(version_text(step.new))
        .number(step.entries)
        .number(step.max_pending)
        .number(step.max_dead)
        .number(MAX_QUARANTINED)
        .number(step.events.len() as u64);
    for event in step.events {
        arguments = arguments.text(event.event.as_str()).bytes(event.body).number(event.webhooks.len() as u64);
        for webhook in &event.webhooks {
            arguments = arguments.text(webhook.as_str());
        }
    }
    arguments = arguments.number(step.quarantined.len() as u64);
    for (version, bytes, reason) in step.quarantined {
        let head = format!("{}\n{}\n", version_text(version), reason.replace('\n', " "));
        arguments = arguments.bytes([head.into_bytes(), bytes].concat());
    }
    arguments
}

/// The next value as an event id.
pub(super) fn event(answer: &mut Answer) -> Result<EventId> {
    let text: String = answer.next()?;
    EventId::parse(&text).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

fn held(answer: Answer) -> Result<Held> {
    match held_by(&answer.word) {
        Some(held) => Ok(held),
        None => answer.unknown(),
    }
}

fn held_by(word: &str) -> Option<Held> {
    match word {
        "yes" => Some(Held::Yes),
        "no" => Some(Held::No),
        _ => None,
    }
}

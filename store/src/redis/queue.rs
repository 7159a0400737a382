//! Fan-out, leases and settling on Redis.

use std::time::Duration;

use gatepost_domain::id::{EventId, LeaseToken, WebhookId};
use gatepost_domain::record::FailureStreak;

use crate::error::{Result, StoreErrorKind};
use crate::ops::{
    CountedOutcome, DROP_QUEUE_BATCH, DeliveryLeaseRequest, Disposition, FanOutOutcome, LeaseStatus, REFUSAL_INTERVAL,
    RawDeliveryLeases, RawFanOut, RawLeasedDelivery, RawSettlement, SendNowOutcome, SettlementOutcome,
};
use crate::ops::{
    MAX_DEAD_LETTERS, MAX_HOLDS_TOGETHER, MAX_LOGGED_DELIVERED, MAX_LOGGED_DROPPED, MAX_QUARANTINED,
    MAX_STORED_ATTEMPTS,
};
use crate::options::COMMIT_TIMEOUT;
use crate::record_format::{decode_record, format_version};

use super::client::{Arguments, Redis};
use super::reply::Reply;
use super::scripts;

impl Redis {
    pub(crate) async fn fan_out(&self, step: RawFanOut) -> Result<FanOutOutcome> {
        let mut reply = self.run_script(&scripts::FAN_OUT, COMMIT_TIMEOUT, fan_out_arguments(step)).await?;
        match reply.status.as_str() {
            "moved" => Ok(FanOutOutcome::Applied { overflowed: reply.next()? }),
            "lost" => Ok(FanOutOutcome::Conflict),
            _ => reply.unexpected_status(),
        }
    }

    pub(crate) async fn lease_deliveries(&self, request: DeliveryLeaseRequest) -> Result<RawDeliveryLeases> {
        let arguments = Arguments::default()
            .text(request.webhook.as_str())
            .text(request.token.as_str())
            .number(request.max_deliveries)
            .number(request.in_flight_cap)
            .ms(request.lease_duration);
        let mut reply = self.run_script(&scripts::LEASE_DELIVERIES, COMMIT_TIMEOUT, arguments).await?;
        let webhook: Option<Vec<u8>> = reply.next()?;
        let webhook = webhook.map(|bytes| decode_record(&bytes, None)).transpose();
        let mut deliveries = Vec::new();
        while !reply.is_empty() {
            deliveries.push(RawLeasedDelivery {
                event: read_event_id(&mut reply)?,
                body: reply.next()?,
                sealed: reply.next()?,
                attempts_made: reply.next()?,
                created_at: reply.timestamp()?,
            });
        }
        Ok(RawDeliveryLeases { webhook, deliveries })
    }

    pub(crate) async fn extend_lease(
        &self,
        webhook: WebhookId,
        event: EventId,
        token: LeaseToken,
        lease: Duration,
    ) -> Result<LeaseStatus> {
        let arguments = Arguments::default().text(webhook.as_str()).text(event.as_str()).text(token.as_str()).ms(lease);
        parse_held(self.run_script(&scripts::EXTEND_LEASE, COMMIT_TIMEOUT, arguments).await?)
    }

    pub(crate) async fn settle(&self, settlements: Vec<RawSettlement>) -> Result<Vec<SettlementOutcome>> {
        let limits = Arguments::default()
            .number(MAX_STORED_ATTEMPTS)
            .number(MAX_LOGGED_DELIVERED)
            .number(MAX_DEAD_LETTERS)
            .ms(REFUSAL_INTERVAL)
            .ms(MAX_HOLDS_TOGETHER);
        let arguments = limits.number(settlements.len() as u64);
        let arguments = settlements.into_iter().fold(arguments, settle_arguments);
        let mut reply = self.run_script(&scripts::SETTLE, COMMIT_TIMEOUT, arguments).await?;
        let mut outcomes = Vec::new();
        while !reply.is_empty() {
            outcomes.push(read_settlement_outcome(&mut reply)?);
        }
        Ok(outcomes)
    }

    pub(crate) async fn hold_queue(&self, webhook: WebhookId, hold: Duration) -> Result<()> {
        let arguments = Arguments::default().text(webhook.as_str()).ms(hold);
        self.run_script(&scripts::HOLD_QUEUE, COMMIT_TIMEOUT, arguments).await?;
        Ok(())
    }

    pub(crate) async fn end_hold(&self, webhook: WebhookId) -> Result<()> {
        let arguments = Arguments::default().text(webhook.as_str());
        self.run_script(&scripts::END_HOLD, COMMIT_TIMEOUT, arguments).await?;
        Ok(())
    }

    pub(crate) async fn reset_failures(&self, webhook: WebhookId) -> Result<()> {
        let arguments = Arguments::default().text(webhook.as_str());
        self.run_script(&scripts::RESET_FAILURES, COMMIT_TIMEOUT, arguments).await?;
        Ok(())
    }

    pub(crate) async fn move_queue_to_dead_letters(&self, webhook: WebhookId, reason: &'static str) -> Result<u64> {
        let arguments =
            Arguments::default().text(webhook.as_str()).text(reason).number(MAX_DEAD_LETTERS).number(DROP_QUEUE_BATCH);
        self.run_script(&scripts::QUEUE_TO_DEAD_LETTERS, COMMIT_TIMEOUT, arguments).await?.next()
    }

    pub(crate) async fn resend(&self, webhook: WebhookId, event: EventId) -> Result<LeaseStatus> {
        let arguments = Arguments::default().text(webhook.as_str()).text(event.as_str());
        parse_held(self.run_script(&scripts::RESEND, COMMIT_TIMEOUT, arguments).await?)
    }

    pub(crate) async fn send_now(&self, webhook: WebhookId, event: EventId) -> Result<SendNowOutcome> {
        let arguments = Arguments::default().text(webhook.as_str()).text(event.as_str());
        let reply = self.run_script(&scripts::SEND_NOW, COMMIT_TIMEOUT, arguments).await?;
        match reply.status.as_str() {
            "yes" => Ok(SendNowOutcome::Due),
            "held" => Ok(SendNowOutcome::InFlight),
            "no" => Ok(SendNowOutcome::NotWaiting),
            _ => reply.unexpected_status(),
        }
    }

    pub(crate) async fn send_again(&self, webhook: WebhookId, events: Vec<(EventId, Vec<u8>)>) -> Result<u64> {
        let arguments = Arguments::default().text(webhook.as_str()).number(events.len() as u64);
        let arguments =
            events.into_iter().fold(arguments, |arguments, (event, body)| arguments.text(event.as_str()).bytes(body));
        self.run_script(&scripts::SEND_AGAIN, COMMIT_TIMEOUT, arguments).await?.next()
    }

    pub(crate) async fn drop_queue(&self, webhook: WebhookId) -> Result<u64> {
        let arguments = Arguments::default().text(webhook.as_str()).number(DROP_QUEUE_BATCH);
        self.run_script(&scripts::DROP_QUEUE, COMMIT_TIMEOUT, arguments).await?.next()
    }
}

fn settle_arguments(arguments: Arguments, settlement: RawSettlement) -> Arguments {
    let arguments =
        arguments.text(settlement.webhook.as_str()).text(settlement.event.as_str()).text(settlement.token.as_str());
    let arguments = match &settlement.disposition {
        Disposition::Delivered => arguments.text("done").text(""),
        Disposition::Dropped => arguments.text("dropped").text(""),
        Disposition::Retry(wait) => arguments.text("retry").ms(*wait),
        Disposition::Defer(wait) => arguments.text("wait").ms(*wait),
        Disposition::DeadLetter(reason) => arguments.text("dead").text(reason),
    };
    let counted = settlement.counted.map_or("", CountedOutcome::as_str);
    let hold = settlement.hold.map(|hold| hold.as_millis().to_string()).unwrap_or_default();
    let arguments = arguments.text(counted).text(&hold);
    arguments.bytes(settlement.failed_attempt.unwrap_or_default()).bytes(settlement.summary)
}

fn fan_out_arguments(step: RawFanOut) -> Arguments {
    let mut arguments = Arguments::default()
        .bytes(format_version(step.expected_cursor))
        .bytes(format_version(step.new_cursor))
        .number(step.entry_count)
        .number(step.max_pending)
        .number(step.max_dead_letters)
        .number(MAX_QUARANTINED)
        .number(step.events.len() as u64);
    for event in step.events {
        arguments = arguments.text(event.event.as_str()).bytes(event.body).number(event.webhooks.len() as u64);
        for webhook in &event.webhooks {
            arguments = arguments.text(webhook.as_str());
        }
    }
    arguments = arguments.number(MAX_LOGGED_DROPPED).number(step.dropped.len() as u64);
    for (webhook, event, summary) in step.dropped {
        arguments = arguments.text(webhook.as_str()).text(event.as_str()).bytes(summary);
    }
    arguments = arguments.number(step.quarantined.len() as u64);
    for (version, bytes, reason) in step.quarantined {
        let head = format!("{}\n{}\n", format_version(version), reason.replace('\n', " "));
        arguments = arguments.bytes([head.into_bytes(), bytes].concat());
    }
    arguments
}

/// Reads the next value as an event id.
pub(super) fn read_event_id(reply: &mut Reply) -> Result<EventId> {
    let event_id: String = reply.next()?;
    EventId::parse(&event_id).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

fn read_settlement_outcome(reply: &mut Reply) -> Result<SettlementOutcome> {
    let status: String = reply.next()?;
    let lease = parse_held_status(&status)
        .ok_or_else(|| StoreErrorKind::Corrupt.with(format!("settling returned the status {status}")))?;
    let (failures, lasted_ms): (Option<u64>, Option<u64>) = (reply.next()?, reply.next()?);
    let streak = failures.zip(lasted_ms);
    let streak = streak.map(|(failures, ms)| FailureStreak { failures, lasted: Duration::from_millis(ms) });
    Ok(SettlementOutcome { lease, streak })
}

fn parse_held(reply: Reply) -> Result<LeaseStatus> {
    match parse_held_status(&reply.status) {
        Some(held) => Ok(held),
        None => reply.unexpected_status(),
    }
}

fn parse_held_status(status: &str) -> Option<LeaseStatus> {
    match status {
        "yes" => Some(LeaseStatus::Held),
        "no" => Some(LeaseStatus::Lost),
        _ => None,
    }
}

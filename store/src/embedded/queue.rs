//! Fan-out, leases and settling in the embedded store.

use std::time::Duration;

use gatepost_domain::id::{EventId, LeaseToken, WebhookId};
use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::dead_letters::{self, Death};
use super::deliveries::{Delivery, delivery, end, enqueue, move_to, oldest, pending};
use super::tables::{ATTEMPTS, CAPPED, EVENTS, LEASED, META, QUARANTINE, QUEUE};
use super::{Embedded, failure, number, sealed, set_number};
use crate::act::{
    FanOutAnswer, Held, LeaseRequest, MAX_ATTEMPTS_KEPT, MAX_DEAD_LETTERS, MAX_QUARANTINED, RawFanOut, RawLeased,
    RawSettle, Step,
};
use crate::error::{Result, StoreErrorKind};

impl Embedded {
    pub(crate) async fn fan_out(&self, step: RawFanOut) -> Result<FanOutAnswer> {
        let now = self.now();
        self.perform(move |transaction| fan_out(transaction, &step, now)).await
    }

    pub(crate) async fn lease_deliveries(&self, request: LeaseRequest) -> Result<Vec<RawLeased>> {
        let now = self.now();
        self.perform(move |transaction| lease(transaction, &request, now)).await
    }

    pub(crate) async fn extend_lease(
        &self,
        webhook: WebhookId,
        event: EventId,
        token: LeaseToken,
        lease: Duration,
    ) -> Result<Held> {
        let now = self.now();
        self.perform(move |transaction| {
            let (webhook, event) = (webhook.as_str(), event.as_str());
            let Some(held) = held(transaction, webhook, event, &token, now)? else { return Ok(Held::No) };
            let end = now.plus(lease).as_ms();
            move_to(
                transaction,
                webhook,
                event,
                &held,
                Delivery { lease_end_ms: end, available_ms: end, ..held.clone() },
            )?;
            Ok(Held::Yes)
        })
        .await
    }

    pub(crate) async fn settle(&self, settlements: Vec<RawSettle>) -> Result<Vec<Held>> {
        let now = self.now();
        self.perform(move |transaction| settlements.iter().map(|one| settle(transaction, one, now)).collect()).await
    }
}

fn settle(transaction: &WriteTransaction, settle: &RawSettle, now: Timestamp) -> Result<Held> {
    let (webhook, event) = (settle.webhook.as_str(), settle.event.as_str());
    let Some(held) = held(transaction, webhook, event, &settle.token, now)? else { return Ok(Held::No) };
    if let Some(attempt) = &settle.attempt {
        remember_attempt(transaction, webhook, attempt)?;
    }
    transaction.open_table(CAPPED).map_err(failure)?.remove(webhook).map_err(failure)?;
    step(transaction, webhook, event, &held, &settle.step, now)?;
    Ok(Held::Yes)
}

fn fan_out(transaction: &WriteTransaction, step: &RawFanOut, now: Timestamp) -> Result<FanOutAnswer> {
    {
        let mut meta = transaction.open_table(META).map_err(failure)?;
        if number(&meta, "fan_out")? != step.expected.as_u64() {
            return Ok(FanOutAnswer::Lost);
        }
        let fanned = number(&meta, "fanned")?;
        set_number(&mut meta, "fan_out", step.new.as_u64())?;
        set_number(&mut meta, "fanned", fanned + step.entries)?;
    }
    let mut overflowed = 0;
    for event in &step.events {
        if event.webhooks.is_empty() {
            sealed::erase(transaction, event.event.as_str())?;
            continue;
        }
        let mut events = transaction.open_table(EVENTS).map_err(failure)?;
        events.insert(event.event.as_str(), (event.webhooks.len() as u64, event.body.as_slice())).map_err(failure)?;
        drop(events);
        for webhook in &event.webhooks {
            enqueue(transaction, webhook.as_str(), event.event.as_str(), now)?;
            overflowed += overflow(transaction, webhook.as_str(), step, now)?;
        }
    }
    quarantine(transaction, step)?;
    Ok(FanOutAnswer::Moved { overflowed })
}

/// Moves the oldest deliveries of a queue that is too long into the dead letters.
fn overflow(transaction: &WriteTransaction, webhook: &str, step: &RawFanOut, now: Timestamp) -> Result<u64> {
    let mut overflowed = 0;
    while pending(transaction, webhook)? > step.max_pending {
        let Some(event) = oldest(transaction, webhook)? else { break };
        let Some(delivery) = delivery(transaction, webhook, &event)? else { break };
        let death = Death {
            attempts_made: delivery.attempts_made,
            reason: "the queue was full",
            at: now,
            max_dead: step.max_dead,
        };
        dead_letters::bury(transaction, webhook, &event, &death)?;
        end(transaction, webhook, &event, &delivery)?;
        overflowed += 1;
    }
    Ok(overflowed)
}

fn quarantine(transaction: &WriteTransaction, step: &RawFanOut) -> Result<()> {
    let mut table = transaction.open_table(QUARANTINE).map_err(failure)?;
    for (version, bytes, reason) in &step.quarantined {
        table.insert(version.as_u64(), (bytes.as_slice(), reason.as_str())).map_err(failure)?;
        if table.len().map_err(failure)? > MAX_QUARANTINED {
            table.pop_first().map_err(failure)?;
        }
    }
    Ok(())
}

fn lease(transaction: &WriteTransaction, request: &LeaseRequest, now: Timestamp) -> Result<Vec<RawLeased>> {
    let webhook = request.webhook.as_str();
    let lease_end_ms = now.plus(request.lease).as_ms();
    let in_flight = leased_until(transaction, webhook, now)?;
    let free = u64::from(request.in_flight_cap).saturating_sub(in_flight.len() as u64);
    let wanted = free.min(u64::from(request.max));
    let mut leased = Vec::new();
    for event in due(transaction, webhook, now, wanted)? {
        let Some(before) = delivery(transaction, webhook, &event)? else { continue };
        let token = request.token.as_str().to_owned();
        let after = Delivery { token, lease_end_ms, available_ms: lease_end_ms, ..before.clone() };
        move_to(transaction, webhook, &event, &before, after)?;
        leased.extend(read_leased(transaction, &event, &before)?);
    }
    if free == leased.len() as u64 {
        let earliest = in_flight.first().copied().unwrap_or(lease_end_ms).min(lease_end_ms);
        transaction.open_table(CAPPED).map_err(failure)?.insert(webhook, earliest).map_err(failure)?;
    }
    Ok(leased)
}

/// The ends of this webhook's leases that hold now, earliest first.
fn leased_until(transaction: &WriteTransaction, webhook: &str, now: Timestamp) -> Result<Vec<u64>> {
    let mut table = transaction.open_table(LEASED).map_err(failure)?;
    table.retain_in((webhook, 0, "")..(webhook, now.as_ms() + 1, ""), |_, ()| false).map_err(failure)?;
    table
        .range((webhook, 0, "")..(webhook, u64::MAX, ""))
        .map_err(failure)?
        .map(|entry| entry.map(|(key, _)| key.value().1).map_err(failure))
        .collect()
}

fn due(transaction: &WriteTransaction, webhook: &str, now: Timestamp, wanted: u64) -> Result<Vec<String>> {
    let queue = transaction.open_table(QUEUE).map_err(failure)?;
    let available = queue.range((webhook, 0, "")..(webhook, now.as_ms() + 1, "")).map_err(failure)?;
    available
        .take(usize::try_from(wanted).unwrap_or(usize::MAX))
        .map(|entry| entry.map(|(key, _)| key.value().2.to_owned()).map_err(failure))
        .collect()
}

fn read_leased(transaction: &WriteTransaction, event: &str, before: &Delivery) -> Result<Option<RawLeased>> {
    let events = transaction.open_table(EVENTS).map_err(failure)?;
    let Some(stored) = events.get(event).map_err(failure)? else { return Ok(None) };
    Ok(Some(RawLeased {
        event: EventId::parse(event).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        body: stored.value().1.to_vec(),
        sealed: sealed::get(transaction, event)?,
        attempts_made: before.attempts_made,
        created_at: Timestamp::from_ms(before.created_ms),
    }))
}

/// The delivery, if this token holds its lease now.
fn held(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    token: &LeaseToken,
    now: Timestamp,
) -> Result<Option<Delivery>> {
    let delivery = delivery(transaction, webhook, event)?;
    Ok(delivery.filter(|delivery| delivery.token == token.as_str() && now.as_ms() < delivery.lease_end_ms))
}

fn step(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    held: &Delivery,
    step: &Step,
    now: Timestamp,
) -> Result<()> {
    let back = |attempts_made: u32, wait: &Duration| Delivery {
        attempts_made,
        token: String::new(),
        lease_end_ms: 0,
        available_ms: now.plus(*wait).as_ms(),
        ..held.clone()
    };
    match step {
        Step::Done | Step::Dropped => end(transaction, webhook, event, held),
        Step::Retry(wait) => move_to(transaction, webhook, event, held, back(held.attempts_made + 1, wait)),
        Step::Wait(wait) => move_to(transaction, webhook, event, held, back(held.attempts_made, wait)),
        Step::Dead(reason) => {
            let death = Death { attempts_made: held.attempts_made + 1, reason, at: now, max_dead: MAX_DEAD_LETTERS };
            dead_letters::bury(transaction, webhook, event, &death)?;
            end(transaction, webhook, event, held)
        }
    }
}

fn remember_attempt(transaction: &WriteTransaction, webhook: &str, attempt: &[u8]) -> Result<()> {
    let mut table = transaction.open_table(ATTEMPTS).map_err(failure)?;
    let newest = {
        let mut range = table.range((webhook, 0)..=(webhook, u64::MAX)).map_err(failure)?;
        range.next_back().transpose().map_err(failure)?.map_or(0, |(key, _)| key.value().1)
    };
    table.insert((webhook, newest + 1), attempt).map_err(failure)?;
    if let Some(too_old) = (newest + 1).checked_sub(MAX_ATTEMPTS_KEPT) {
        table.remove((webhook, too_old)).map_err(failure)?;
    }
    Ok(())
}

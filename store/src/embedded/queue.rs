//! Fan-out, leases and settling in the embedded store.

use std::borrow::Cow;
use std::time::Duration;

use gatepost_domain::id::{EventId, LeaseToken, WebhookId};
use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::database::Embedded;
use super::dead_letters::{self, Death};
use super::deliveries::{
    Creation, Delivery, enqueue, finish_delivery, next_sequence, oldest_event, pending_count, read_delivery,
    update_delivery,
};
use super::delivery_log::{self, EndedDelivery};
use super::errors::store_error;
use super::meta::{read_number, set_number};
use super::queue_clock::queue_now;
use super::records::read_stored;
use super::sealed;
use super::tables::{ATTEMPTS, CAPPED, DEAD_LETTERS, EVENTS, LEASED, META, QUARANTINE, QUEUE, RECORDS};
use super::webhook_failures;
use crate::delivery_summary::DeliverySummary;
use crate::error::{Result, StoreErrorKind};
use crate::ops::{
    DeliveryKind, DeliveryLeaseRequest, Disposition, FanOutOutcome, LeaseStatus, MAX_DEAD_LETTERS,
    MAX_LOGGED_DELIVERED, MAX_LOGGED_DROPPED, MAX_QUARANTINED, MAX_STORED_ATTEMPTS, RawDeliveryLeases, RawFanOut,
    RawLeasedDelivery, RawSettlement, SendNowOutcome, SettlementOutcome,
};

impl Embedded {
    pub(crate) async fn fan_out(&self, step: RawFanOut) -> Result<FanOutOutcome> {
        let now = self.now();
        self.perform(move |transaction| fan_out(transaction, &step, now)).await
    }

    pub(crate) async fn lease_deliveries(&self, request: DeliveryLeaseRequest) -> Result<RawDeliveryLeases> {
        let now = self.now();
        self.perform(move |transaction| {
            let webhook = read_stored(&transaction.open_table(RECORDS).map_err(store_error)?, request.webhook.as_str());
            Ok(RawDeliveryLeases { webhook, deliveries: lease_due(transaction, &request, now)? })
        })
        .await
    }

    pub(crate) async fn extend_lease(
        &self,
        webhook: WebhookId,
        event: EventId,
        token: LeaseToken,
        lease: Duration,
    ) -> Result<LeaseStatus> {
        let now = self.now();
        self.perform(move |transaction| {
            let (webhook, event) = (webhook.as_str(), event.as_str());
            let now = queue_now(transaction, now)?;
            let Some(held) = held_delivery(transaction, webhook, event, &token, now)? else {
                return Ok(LeaseStatus::Lost);
            };
            let end = now.plus(lease).as_ms();
            update_delivery(
                transaction,
                webhook,
                event,
                &held,
                Delivery { lease_end_ms: end, available_ms: end, ..held.clone() },
            )?;
            Ok(LeaseStatus::Held)
        })
        .await
    }

    pub(crate) async fn send_now(&self, webhook: WebhookId, event: EventId) -> Result<SendNowOutcome> {
        let now = self.now();
        self.perform(move |transaction| send_now(transaction, webhook.as_str(), event.as_str(), now)).await
    }

    pub(crate) async fn send_again(&self, webhook: WebhookId, events: Vec<(EventId, Vec<u8>)>) -> Result<u64> {
        let now = self.now();
        self.perform(move |transaction| {
            let mut created = 0;
            for (event, body) in &events {
                created += u64::from(send_again(transaction, webhook.as_str(), event.as_str(), body, now)?);
            }
            Ok(created)
        })
        .await
    }

    pub(crate) async fn settle(&self, settlements: Vec<RawSettlement>) -> Result<Vec<SettlementOutcome>> {
        let now = self.now();
        self.perform(move |transaction| settlements.iter().map(|one| settle_one(transaction, one, now)).collect()).await
    }
}

fn settle_one(transaction: &WriteTransaction, settlement: &RawSettlement, now: Timestamp) -> Result<SettlementOutcome> {
    let (webhook, event) = (settlement.webhook.as_str(), settlement.event.as_str());
    let queue_time = queue_now(transaction, now)?;
    let Some(held) = held_delivery(transaction, webhook, event, &settlement.token, queue_time)? else {
        return Ok(SettlementOutcome { lease: LeaseStatus::Lost, streak: None });
    };
    if let Some(attempt) = &settlement.failed_attempt {
        record_attempt(transaction, webhook, attempt)?;
        delivery_log::schedule_check(transaction, webhook, now)?;
    }
    let mut streak = None;
    if let Some(outcome) = settlement.counted {
        delivery_log::count_attempt(transaction, webhook, outcome, now)?;
        streak = webhook_failures::note_outcome(transaction, webhook, outcome, settlement.hold, now, queue_time)?;
    }
    transaction.open_table(CAPPED).map_err(store_error)?.remove(webhook).map_err(store_error)?;
    apply_disposition(transaction, &held, settlement, now, queue_time)?;
    Ok(SettlementOutcome { lease: LeaseStatus::Held, streak })
}

fn fan_out(transaction: &WriteTransaction, step: &RawFanOut, now: Timestamp) -> Result<FanOutOutcome> {
    {
        let mut meta = transaction.open_table(META).map_err(store_error)?;
        if read_number(&meta, "fan_out")? != step.expected_cursor.as_u64() {
            return Ok(FanOutOutcome::Conflict);
        }
        let fanned_out = read_number(&meta, "fanned")?;
        set_number(&mut meta, "fan_out", step.new_cursor.as_u64())?;
        set_number(&mut meta, "fanned", fanned_out + step.entry_count)?;
    }
    let mut overflowed = 0;
    for event in &step.events {
        if event.webhooks.is_empty() {
            sealed::erase(transaction, event.event.as_str())?;
            continue;
        }
        let mut events = transaction.open_table(EVENTS).map_err(store_error)?;
        events
            .insert(event.event.as_str(), (event.webhooks.len() as u64, event.body.as_slice()))
            .map_err(store_error)?;
        drop(events);
        for webhook in &event.webhooks {
            let creation = Creation::at(transaction, now)?;
            enqueue(transaction, webhook.as_str(), event.event.as_str(), creation, now)?;
            overflowed += trim_overflow(transaction, webhook.as_str(), step, now)?;
        }
    }
    for (webhook, event, summary) in &step.dropped {
        let sequence = i64::try_from(next_sequence(transaction)?).unwrap_or(i64::MAX);
        let ended = EndedDelivery { kind: DeliveryKind::Dropped, sequence, at: now, summary };
        delivery_log::log_ended(transaction, webhook.as_str(), event.as_str(), &ended, MAX_LOGGED_DROPPED)?;
    }
    write_quarantine(transaction, step)?;
    Ok(FanOutOutcome::Applied { overflowed })
}

/// Returns the summary of a delivery that ends without a worker's report.
pub(super) fn summary_without_report(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    delivery: &Delivery,
) -> Result<Vec<u8>> {
    let events = transaction.open_table(EVENTS).map_err(store_error)?;
    let stored = events.get(event).map_err(store_error)?;
    let body = stored.as_ref().map(|stored| stored.value().1).unwrap_or_default();
    let last_attempt = delivery_log::last_attempt(transaction, webhook, event)?;
    let created_at = Timestamp::from_ms(delivery.created_ms);
    Ok(DeliverySummary::without_report(body, delivery.attempts_made, created_at, last_attempt.as_deref()))
}

/// Moves the oldest deliveries of a queue over its limit to the dead letters.
fn trim_overflow(transaction: &WriteTransaction, webhook: &str, step: &RawFanOut, now: Timestamp) -> Result<u64> {
    let mut overflowed = 0;
    while pending_count(transaction, webhook)? > step.max_pending {
        let Some(event) = oldest_event(transaction, webhook)? else { break };
        let Some(delivery) = read_delivery(transaction, webhook, &event)? else { break };
        let death = Death {
            attempts_made: delivery.attempts_made,
            reason: "the queue was full",
            summary: &summary_without_report(transaction, webhook, &event, &delivery)?,
            at: now,
            max_dead: step.max_dead_letters,
        };
        dead_letters::move_to_dead_letters(transaction, webhook, &event, &death)?;
        finish_delivery(transaction, webhook, &event, &delivery)?;
        overflowed += 1;
    }
    Ok(overflowed)
}

fn write_quarantine(transaction: &WriteTransaction, step: &RawFanOut) -> Result<()> {
    let mut table = transaction.open_table(QUARANTINE).map_err(store_error)?;
    for (version, bytes, reason) in &step.quarantined {
        table.insert(version.as_u64(), (bytes.as_slice(), reason.as_str())).map_err(store_error)?;
        if table.len().map_err(store_error)? > MAX_QUARANTINED {
            table.pop_first().map_err(store_error)?;
        }
    }
    Ok(())
}

fn lease_due(
    transaction: &WriteTransaction,
    request: &DeliveryLeaseRequest,
    now: Timestamp,
) -> Result<Vec<RawLeasedDelivery>> {
    let (webhook, now) = (request.webhook.as_str(), queue_now(transaction, now)?);
    if webhook_failures::is_held(transaction, webhook, now)? {
        return Ok(Vec::new());
    }
    let lease_end_ms = now.plus(request.lease_duration).as_ms();
    let in_flight = active_lease_ends(transaction, webhook, now)?;
    let free = u64::from(request.in_flight_cap).saturating_sub(in_flight.len() as u64);
    let max = free.min(u64::from(request.max_deliveries));
    let mut leased = Vec::new();
    for event in due_events(transaction, webhook, now, max)? {
        let Some(before) = read_delivery(transaction, webhook, &event)? else { continue };
        let token = request.token.as_str().to_owned();
        let after = Delivery { token, lease_end_ms, available_ms: lease_end_ms, ..before.clone() };
        update_delivery(transaction, webhook, &event, &before, after)?;
        leased.extend(read_leased(transaction, &event, &before)?);
    }
    if free == leased.len() as u64 {
        let earliest = in_flight.first().copied().unwrap_or(lease_end_ms).min(lease_end_ms);
        transaction.open_table(CAPPED).map_err(store_error)?.insert(webhook, earliest).map_err(store_error)?;
    }
    Ok(leased)
}

/// Returns the ends of this webhook's active leases, earliest first.
fn active_lease_ends(transaction: &WriteTransaction, webhook: &str, now: Timestamp) -> Result<Vec<u64>> {
    let mut table = transaction.open_table(LEASED).map_err(store_error)?;
    table.retain_in((webhook, 0, "")..(webhook, now.as_ms() + 1, ""), |_, ()| false).map_err(store_error)?;
    table
        .range((webhook, 0, "")..(webhook, u64::MAX, ""))
        .map_err(store_error)?
        .map(|entry| entry.map(|(key, _)| key.value().1).map_err(store_error))
        .collect()
}

fn due_events(transaction: &WriteTransaction, webhook: &str, now: Timestamp, max: u64) -> Result<Vec<String>> {
    let queue = transaction.open_table(QUEUE).map_err(store_error)?;
    let available = queue.range((webhook, 0, "")..(webhook, now.as_ms() + 1, "")).map_err(store_error)?;
    available
        .take(usize::try_from(max).unwrap_or(usize::MAX))
        .map(|entry| entry.map(|(key, _)| key.value().2.to_owned()).map_err(store_error))
        .collect()
}

fn read_leased(transaction: &WriteTransaction, event: &str, delivery: &Delivery) -> Result<Option<RawLeasedDelivery>> {
    let events = transaction.open_table(EVENTS).map_err(store_error)?;
    let Some(stored) = events.get(event).map_err(store_error)? else { return Ok(None) };
    Ok(Some(RawLeasedDelivery {
        event: EventId::parse(event).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        body: stored.value().1.to_vec(),
        sealed: sealed::get(transaction, event)?,
        attempts_made: delivery.attempts_made,
        created_at: Timestamp::from_ms(delivery.created_ms),
    }))
}

/// Returns the delivery if this token holds its lease now.
fn held_delivery(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    token: &LeaseToken,
    now: Timestamp,
) -> Result<Option<Delivery>> {
    let delivery = read_delivery(transaction, webhook, event)?;
    Ok(delivery.filter(|delivery| delivery.token == token.as_str() && now.as_ms() < delivery.lease_end_ms))
}

fn apply_disposition(
    transaction: &WriteTransaction,
    held: &Delivery,
    settlement: &RawSettlement,
    now: Timestamp,
    queue_time: Timestamp,
) -> Result<()> {
    let (webhook, event) = (settlement.webhook.as_str(), settlement.event.as_str());
    let released = |attempts_made: u32, wait: &Duration| Delivery {
        attempts_made,
        token: String::new(),
        lease_end_ms: 0,
        available_ms: queue_time.plus(*wait).as_ms(),
        ..held.clone()
    };
    match &settlement.disposition {
        Disposition::Delivered => {
            let sequence = delivery_log::list_sequence(transaction, webhook, event)?;
            let summary = settlement.summary.as_slice();
            let ended = EndedDelivery { kind: DeliveryKind::Delivered, sequence, at: now, summary };
            finish_delivery(transaction, webhook, event, held)?;
            delivery_log::log_ended(transaction, webhook, event, &ended, MAX_LOGGED_DELIVERED)
        }
        Disposition::Dropped => finish_delivery(transaction, webhook, event, held),
        Disposition::Retry(wait) => {
            delivery_log::record_last_attempt(transaction, webhook, event, &settlement.summary)?;
            update_delivery(transaction, webhook, event, held, released(held.attempts_made + 1, wait))
        }
        Disposition::Defer(wait) => {
            update_delivery(transaction, webhook, event, held, released(held.attempts_made, wait))
        }
        Disposition::DeadLetter(reason) => {
            let death = Death {
                attempts_made: held.attempts_made + u32::from(settlement.counted.is_some()),
                reason,
                summary: &summary_of_death(transaction, settlement)?,
                at: now,
                max_dead: MAX_DEAD_LETTERS,
            };
            dead_letters::move_to_dead_letters(transaction, webhook, event, &death)?;
            finish_delivery(transaction, webhook, event, held)
        }
    }
}

/// Returns the summary of a delivery that a worker gave up. If it made no attempt, the last one is that of before.
fn summary_of_death<'a>(transaction: &WriteTransaction, settlement: &'a RawSettlement) -> Result<Cow<'a, [u8]>> {
    if settlement.counted.is_some() {
        return Ok(Cow::Borrowed(&settlement.summary));
    }
    let last = delivery_log::last_attempt(transaction, settlement.webhook.as_str(), settlement.event.as_str())?;
    Ok(Cow::Owned(DeliverySummary::with_last_attempt(&settlement.summary, last.as_deref())))
}

/// Makes a waiting delivery due, unless it is already.
pub(super) fn send_now(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    now: Timestamp,
) -> Result<SendNowOutcome> {
    let Some(waiting) = read_delivery(transaction, webhook, event)? else { return Ok(SendNowOutcome::NotWaiting) };
    let now = queue_now(transaction, now)?;
    if !waiting.token.is_empty() && now.as_ms() < waiting.lease_end_ms {
        return Ok(SendNowOutcome::InFlight);
    }
    let available_ms = waiting.available_ms.min(now.as_ms());
    let due = Delivery { token: String::new(), lease_end_ms: 0, available_ms, ..waiting.clone() };
    update_delivery(transaction, webhook, event, &waiting, due)?;
    Ok(SendNowOutcome::Due)
}

/// Creates a delivery unless there is one that waits, or a dead letter. Returns whether it did.
pub(super) fn send_again(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<bool> {
    let is_dead = {
        let dead = transaction.open_table(DEAD_LETTERS).map_err(store_error)?;
        dead.get((webhook, event)).map_err(store_error)?.is_some()
    };
    if is_dead || read_delivery(transaction, webhook, event)?.is_some() {
        return Ok(false);
    }
    {
        let mut events = transaction.open_table(EVENTS).map_err(store_error)?;
        let stored =
            events.get(event).map_err(store_error)?.map(|stored| (stored.value().0, stored.value().1.to_vec()));
        let (left, body) = stored.unwrap_or_else(|| (0, body.to_vec()));
        events.insert(event, (left + 1, body.as_slice())).map_err(store_error)?;
    }
    let creation = Creation::of_ended(transaction, webhook, event, now)?;
    delivery_log::unlog(transaction, webhook, event)?;
    enqueue(transaction, webhook, event, creation, now)?;
    Ok(true)
}

fn record_attempt(transaction: &WriteTransaction, webhook: &str, attempt: &[u8]) -> Result<()> {
    let mut table = transaction.open_table(ATTEMPTS).map_err(store_error)?;
    let newest = {
        let mut range = table.range((webhook, 0)..=(webhook, u64::MAX)).map_err(store_error)?;
        range.next_back().transpose().map_err(store_error)?.map_or(0, |(key, _)| key.value().1)
    };
    table.insert((webhook, newest + 1), attempt).map_err(store_error)?;
    if let Some(expired) = (newest + 1).checked_sub(MAX_STORED_ATTEMPTS) {
        table.remove((webhook, expired)).map_err(store_error)?;
    }
    Ok(())
}

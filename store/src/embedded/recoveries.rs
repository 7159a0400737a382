//! Recoveries in the embedded store.

use std::ops::Bound;

use gatepost_domain::id::{RecoveryId, WebhookId};
use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, WriteTransaction};

use super::database::Embedded;
use super::dead_letters;
use super::deliveries::{pending_count, read_delivery};
use super::delivery_log::schedule_check;
use super::errors::store_error;
use super::queue::{send_again, send_now};
use super::queue_clock::{QueueClock, queue_now};
use super::recovery_states::{all_of, read, remove, write};
use super::tables::{DELIVERY_LOG, LEASED, QUEUE, RECOVERIES, RUNNING_RECOVERIES};
use crate::error::{Result, StoreErrorKind};
use crate::ops::{
    DeliveryKind, LeaseStatus, MAX_RECOVERIES, RawRecovery, RawRecoveryCreation, RawRecoveryItem, RawRecoveryStep,
    RawRunningRecovery, RecoverySource, RecoveryStatus, RecoveryStepOutcome, SendNowOutcome, StepEnd,
};

/// Key of the queue and of the leases: webhook, time in ms, event.
type TimedKey = (&'static str, u64, &'static str);

/// Due deliveries that are counted: more than any recovery waits for.
const MAX_COUNTED: usize = 1000;

impl Embedded {
    pub(crate) async fn create_recovery(
        &self,
        webhook: WebhookId,
        recovery: RecoveryId,
        request: Vec<u8>,
    ) -> Result<RawRecoveryCreation> {
        let now = self.now();
        self.perform(move |transaction| create(transaction, webhook.as_str(), &recovery, &request, now)).await
    }

    pub(crate) async fn recoveries(&self, webhook: WebhookId) -> Result<Vec<RawRecovery>> {
        let table = self.read()?.open_table(RECOVERIES).map_err(store_error)?;
        all_of(&table, webhook.as_str())
    }

    pub(crate) async fn running_recoveries(
        &self,
        after: Option<WebhookId>,
        limit: u32,
    ) -> Result<Vec<RawRunningRecovery>> {
        let transaction = self.read()?;
        let now = QueueClock::read(&transaction, self.now())?.now;
        let running = transaction.open_table(RUNNING_RECOVERIES).map_err(store_error)?;
        let recoveries = transaction.open_table(RECOVERIES).map_err(store_error)?;
        let queue = transaction.open_table(QUEUE).map_err(store_error)?;
        let leased = transaction.open_table(LEASED).map_err(store_error)?;
        let start = after.as_ref().map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str()));
        let mut found = Vec::new();
        for entry in running.range::<&str>((start, Bound::Unbounded)).map_err(store_error)?.take(limit as usize) {
            let (webhook, id) = entry.map_err(store_error)?;
            let (webhook, id) = (webhook.value(), id.value());
            let Some(recovery) = read(&recoveries, webhook, id)? else { continue };
            let open = open_deliveries(&queue, &leased, webhook, now)?;
            let webhook = WebhookId::parse(webhook).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
            found.push(RawRunningRecovery { webhook, open, recovery });
        }
        Ok(found)
    }

    pub(crate) async fn run_recovery_step(&self, step: RawRecoveryStep) -> Result<RecoveryStepOutcome> {
        let now = self.now();
        self.perform(move |transaction| advance(transaction, &step, now)).await
    }

    pub(crate) async fn cancel_recovery(
        &self,
        webhook: WebhookId,
        recovery: RecoveryId,
    ) -> Result<Option<RawRecovery>> {
        let now = self.now();
        self.perform(move |transaction| cancel(transaction, webhook.as_str(), recovery.as_str(), now)).await
    }
}

fn create(
    transaction: &WriteTransaction,
    webhook: &str,
    id: &RecoveryId,
    request: &[u8],
    now: Timestamp,
) -> Result<RawRecoveryCreation> {
    let mut stored = all_of(&transaction.open_table(RECOVERIES).map_err(store_error)?, webhook)?;
    if let Some(existing) = stored.iter().find(|existing| existing.id == *id) {
        return Ok(RawRecoveryCreation::Created(existing.clone()));
    }
    if let Some(running) = stored.iter().find(|other| other.status == RecoveryStatus::Running) {
        return Ok(RawRecoveryCreation::Running(running.id.clone()));
    }
    stored.sort_by_key(|ended| ended.finished_at);
    let excess = (stored.len() + 1).saturating_sub(usize::try_from(MAX_RECOVERIES).unwrap_or(usize::MAX));
    for ended in &stored[..excess] {
        remove(transaction, webhook, &ended.id)?;
    }
    let recovery = RawRecovery {
        id: id.clone(),
        status: RecoveryStatus::Running,
        created_at: now,
        finished_at: None,
        cursor: None,
        recovered: 0,
        skipped: 0,
        request: request.to_vec(),
    };
    write(transaction, webhook, &recovery)?;
    let mut running = transaction.open_table(RUNNING_RECOVERIES).map_err(store_error)?;
    running.insert(webhook, id.as_str()).map_err(store_error)?;
    Ok(RawRecoveryCreation::Created(recovery))
}

fn advance(transaction: &WriteTransaction, step: &RawRecoveryStep, now: Timestamp) -> Result<RecoveryStepOutcome> {
    let webhook = step.webhook.as_str();
    let found = read(&transaction.open_table(RECOVERIES).map_err(store_error)?, webhook, step.recovery.as_str())?;
    let is_expected =
        |found: &RawRecovery| found.status == RecoveryStatus::Running && found.cursor == step.expected_cursor;
    let Some(before) = found.filter(is_expected) else { return Ok(RecoveryStepOutcome::Conflict) };
    let room = room(transaction, step, now)?;
    let room_for_new = step.max_pending.saturating_sub(pending_count(transaction, webhook)?);
    let (mut recovered, mut created, mut skipped) = (0, 0, 0);
    let (mut cursor, mut status) = (step.next_cursor, RecoveryStatus::Running);
    if step.end == StepEnd::Last {
        status = RecoveryStatus::Finished;
    }
    let mut handled_through = step.expected_cursor;
    for item in &step.items {
        let is_new = item.source != RecoverySource::Queue;
        if recovered >= room || (is_new && created >= room_for_new) {
            (cursor, status) = (handled_through, RecoveryStatus::Running);
            break;
        }
        if send_item_again(transaction, webhook, item, now)? {
            recovered += 1;
            created += u64::from(is_new);
        } else {
            skipped += 1;
        }
        handled_through = Some(item.sequence);
    }
    let mut after =
        RawRecovery { cursor, recovered: before.recovered + recovered, skipped: before.skipped + skipped, ..before };
    if status == RecoveryStatus::Finished {
        end(transaction, webhook, &mut after, status, now)?;
    }
    write(transaction, webhook, &after)?;
    Ok(RecoveryStepOutcome::Advanced { recovered, skipped, status })
}

/// Returns how many more deliveries may be due or in flight.
fn room(transaction: &WriteTransaction, step: &RawRecoveryStep, now: Timestamp) -> Result<u64> {
    let webhook = step.webhook.as_str();
    let queue = transaction.open_table(QUEUE).map_err(store_error)?;
    let leased = transaction.open_table(LEASED).map_err(store_error)?;
    let open = open_deliveries(&queue, &leased, webhook, queue_now(transaction, now)?)?;
    Ok(step.max_open.saturating_sub(open))
}

/// Returns how many deliveries of a webhook are due or in flight at a time of the clock of the queues. More than [`MAX_COUNTED`] due ones are not counted.
fn open_deliveries(
    queue: &impl ReadableTable<TimedKey, ()>,
    leased: &impl ReadableTable<TimedKey, ()>,
    webhook: &str,
    now: Timestamp,
) -> Result<u64> {
    let due = queue.range((webhook, 0, "")..(webhook, now.as_ms() + 1, "")).map_err(store_error)?;
    let in_flight = leased.range((webhook, now.as_ms() + 1, "")..(webhook, u64::MAX, "")).map_err(store_error)?;
    Ok((due.take(MAX_COUNTED).count() + in_flight.count()) as u64)
}

fn send_item_again(
    transaction: &WriteTransaction,
    webhook: &str,
    item: &RawRecoveryItem,
    now: Timestamp,
) -> Result<bool> {
    let event = item.event.as_str();
    match &item.source {
        RecoverySource::DeadLetter => Ok(dead_letters::resend(transaction, webhook, event, now)? == LeaseStatus::Held),
        RecoverySource::Stream(body) => {
            Ok(is_dropped(transaction, webhook, event)? && send_again(transaction, webhook, event, body, now)?)
        }
        RecoverySource::Queue => make_due(transaction, webhook, event, now),
        RecoverySource::Gone => Ok(false),
    }
}

/// Makes a delivery that waits for its next attempt due. Returns whether it waits for one.
fn make_due(transaction: &WriteTransaction, webhook: &str, event: &str, now: Timestamp) -> Result<bool> {
    let waits = read_delivery(transaction, webhook, event)?.is_some_and(|delivery| delivery.attempts_made > 0);
    Ok(waits && send_now(transaction, webhook, event, now)? == SendNowOutcome::Due)
}

fn is_dropped(transaction: &WriteTransaction, webhook: &str, event: &str) -> Result<bool> {
    let log = transaction.open_table(DELIVERY_LOG).map_err(store_error)?;
    let entry = log.get((webhook, event)).map_err(store_error)?;
    Ok(entry.is_some_and(|entry| entry.value().0 == DeliveryKind::Dropped.as_str()))
}

fn cancel(transaction: &WriteTransaction, webhook: &str, id: &str, now: Timestamp) -> Result<Option<RawRecovery>> {
    let found = read(&transaction.open_table(RECOVERIES).map_err(store_error)?, webhook, id)?;
    let Some(mut recovery) = found else { return Ok(None) };
    if recovery.status == RecoveryStatus::Running {
        end(transaction, webhook, &mut recovery, RecoveryStatus::Cancelled, now)?;
        write(transaction, webhook, &recovery)?;
    }
    Ok(Some(recovery))
}

/// Sets the status of a recovery that ends. The caller writes it.
fn end(
    transaction: &WriteTransaction,
    webhook: &str,
    recovery: &mut RawRecovery,
    status: RecoveryStatus,
    now: Timestamp,
) -> Result<()> {
    (recovery.status, recovery.finished_at) = (status, Some(now));
    transaction.open_table(RUNNING_RECOVERIES).map_err(store_error)?.remove(webhook).map_err(store_error)?;
    schedule_check(transaction, webhook, now)
}

//! The log of a webhook's deliveries in the embedded store: those that ended, the numbers of its attempts, and the lists.

use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::time::Timestamp;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::database::Embedded;
use super::deliveries::sequence_of;
use super::delivery_order::first_of;
use super::errors::store_error;
use super::queue_clock::QueueClock;
use super::queue_reads::read_dead_letter;
use super::recovery_states;
use super::tables::{
    ATTEMPTS, DEAD_COUNTS, DEAD_LETTERS, DELIVERIES, DELIVERY_LOG, DELIVERY_LOG_COUNTS, DELIVERY_LOG_ORDER,
    DELIVERY_SEQUENCE, EVENTS, HOURS, LAST_ATTEMPTS, LEASED, LOG_CHECKS, PENDING_COUNTS, QUEUE,
};
use super::webhook_failures;
use crate::attempt::AttemptRecord;
use crate::error::{Result, StoreErrorKind};
use crate::ops::{
    CountedOutcome, DeliveryKind, RawDelivery, RawDeliveryContent, RetentionPolicy, SortOrder, WebhookNumbers,
};

/// Entries by which a log may exceed its maximum before it is trimmed.
const SLACK: u64 = 100;
/// Time after which a log with new entries is searched for expired ones.
const CHECK_INTERVAL_MS: u64 = 3_600_000;
/// Webhooks whose logs one call of `trim` searches.
const MAX_CHECKS: usize = 10;
const HOUR_MS: u64 = 3_600_000;
/// Hours before the current one that the numbers of a webhook include.
const COUNTED_HOURS: u64 = 24;

impl Embedded {
    pub(crate) async fn deliveries(
        &self,
        webhook: WebhookId,
        kinds: Vec<DeliveryKind>,
        order: SortOrder,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<RawDelivery>> {
        let transaction = self.read()?;
        let clock = QueueClock::read(&transaction, self.now())?;
        let mut found = Vec::new();
        for kind in kinds {
            found.extend(first_of(&transaction, webhook.as_str(), kind, order, after, limit as usize)?);
        }
        found.sort_unstable_by_key(|(sequence, ..)| *sequence);
        if order == SortOrder::NewestFirst {
            found.reverse();
        }
        found.truncate(limit as usize);
        let rows = found
            .iter()
            .map(|(sequence, kind, event)| read_row(&transaction, webhook.as_str(), *kind, event, *sequence, clock));
        rows.filter_map(Result::transpose).collect()
    }

    pub(crate) async fn delivery(&self, webhook: WebhookId, event: EventId) -> Result<Option<RawDelivery>> {
        let transaction = self.read()?;
        let clock = QueueClock::read(&transaction, self.now())?;
        let (webhook, event) = (webhook.as_str(), event.as_str());
        let sequences = transaction.open_table(DELIVERY_SEQUENCE).map_err(store_error)?;
        if let Some(sequence) = sequences.get((webhook, event)).map_err(store_error)? {
            let sequence = i64::try_from(sequence.value()).unwrap_or(i64::MAX);
            return read_row(&transaction, webhook, DeliveryKind::Waiting, event, sequence, clock);
        }
        let log = transaction.open_table(DELIVERY_LOG).map_err(store_error)?;
        let Some(entry) = log.get((webhook, event)).map_err(store_error)? else { return Ok(None) };
        let (kind, sequence, ..) = entry.value();
        let Some(kind) = parse_kind(kind) else { return Ok(None) };
        read_row(&transaction, webhook, kind, event, sequence, clock)
    }

    pub(crate) async fn webhook_numbers(&self, webhook: WebhookId) -> Result<WebhookNumbers> {
        let (now, transaction, webhook) = (self.now(), self.read()?, webhook.as_str());
        let pending = transaction.open_table(PENDING_COUNTS).map_err(store_error)?;
        let pending = pending.get(webhook).map_err(store_error)?.map_or(0, |count| count.value());
        let leased = transaction.open_table(LEASED).map_err(store_error)?;
        let clock = QueueClock::read(&transaction, now)?;
        let in_flight =
            leased.range((webhook, clock.now.as_ms() + 1, "")..(webhook, u64::MAX, "")).map_err(store_error)?;
        let in_flight = in_flight.count() as u64;
        let dead = transaction.open_table(DEAD_COUNTS).map_err(store_error)?;
        let logged = transaction.open_table(DELIVERY_LOG_COUNTS).map_err(store_error)?;
        let dropped = (webhook, DeliveryKind::Dropped.as_str());
        let queue = transaction.open_table(QUEUE).map_err(store_error)?;
        let first = queue.range((webhook, 0, "")..(webhook, u64::MAX, "")).map_err(store_error)?.next();
        let (delivered_last_day, failed_last_day) = attempts_of_last_day(&transaction, webhook, now)?;
        let held_until_ms = webhook_failures::held_until_ms(&transaction, webhook)?;
        Ok(WebhookNumbers {
            waiting: pending.saturating_sub(in_flight),
            in_flight,
            dropped: logged.get(dropped).map_err(store_error)?.map_or(0, |count| count.value()),
            dead: dead.get(webhook).map_err(store_error)?.map_or(0, |count| count.value()),
            held_until: (clock.now.as_ms() < held_until_ms).then(|| clock.to_store_time(held_until_ms)),
            oldest_due_at: first.transpose().map_err(store_error)?.map(|(key, _)| clock.to_store_time(key.value().1)),
            delivered_last_day,
            failed_last_day,
        })
    }
}

fn read_row(
    transaction: &ReadTransaction,
    webhook: &str,
    kind: DeliveryKind,
    event: &str,
    sequence: i64,
    clock: QueueClock,
) -> Result<Option<RawDelivery>> {
    let content = match kind {
        DeliveryKind::Waiting => read_waiting(transaction, webhook, event, clock)?,
        DeliveryKind::Delivered | DeliveryKind::Dropped => {
            read_summary(transaction, webhook, event)?.map(|summary| RawDeliveryContent::Ended { kind, summary })
        }
        DeliveryKind::Dead => {
            let dead = transaction.open_table(DEAD_LETTERS).map_err(store_error)?;
            let letter = read_dead_letter(&dead, webhook, event)?;
            let summary = read_summary(transaction, webhook, event)?.filter(|summary| !summary.is_empty());
            letter.map(|letter| RawDeliveryContent::Dead { summary, letter })
        }
    };
    let event = EventId::parse(event).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    Ok(content.map(|content| RawDelivery { event, sequence, content }))
}

fn read_waiting(
    transaction: &ReadTransaction,
    webhook: &str,
    event: &str,
    clock: QueueClock,
) -> Result<Option<RawDeliveryContent>> {
    let deliveries = transaction.open_table(DELIVERIES).map_err(store_error)?;
    let Some(state) = deliveries.get((webhook, event)).map_err(store_error)? else { return Ok(None) };
    let (attempts_made, token, lease_end_ms, created_ms, due_ms) = state.value();
    let events = transaction.open_table(EVENTS).map_err(store_error)?;
    let body = events.get(event).map_err(store_error)?.map(|stored| stored.value().1.to_vec()).unwrap_or_default();
    let last = transaction.open_table(LAST_ATTEMPTS).map_err(store_error)?;
    Ok(Some(RawDeliveryContent::Waiting {
        attempts_made,
        leased_until: (!token.is_empty()).then(|| clock.to_store_time(lease_end_ms)),
        created_at: Timestamp::from_ms(created_ms),
        due_at: clock.to_store_time(due_ms.max(webhook_failures::held_until_ms(transaction, webhook)?)),
        body,
        last_attempt: last.get((webhook, event)).map_err(store_error)?.map(|line| line.value().to_vec()),
    }))
}

fn read_summary(transaction: &ReadTransaction, webhook: &str, event: &str) -> Result<Option<Vec<u8>>> {
    let log = transaction.open_table(DELIVERY_LOG).map_err(store_error)?;
    Ok(log.get((webhook, event)).map_err(store_error)?.map(|entry| entry.value().3.to_vec()))
}

fn attempts_of_last_day(transaction: &ReadTransaction, webhook: &str, now: Timestamp) -> Result<(u64, u64)> {
    let hours = transaction.open_table(HOURS).map_err(store_error)?;
    let first = (now.as_ms() / HOUR_MS).saturating_sub(COUNTED_HOURS);
    let mut sums = (0, 0);
    for entry in hours.range((webhook, first)..=(webhook, u64::MAX)).map_err(store_error)? {
        let (delivered, failed) = entry.map_err(store_error)?.1.value();
        sums = (sums.0 + delivered, sums.1 + failed);
    }
    Ok(sums)
}

fn parse_kind(text: &str) -> Option<DeliveryKind> {
    DeliveryKind::ALL.into_iter().find(|kind| kind.as_str() == text)
}

/// An ended delivery for the log.
pub(super) struct EndedDelivery<'a> {
    pub(super) kind: DeliveryKind,
    pub(super) sequence: i64,
    pub(super) at: Timestamp,
    pub(super) summary: &'a [u8],
}

/// Adds an ended delivery to the log, beyond the maximum in place of the oldest ones.
pub(super) fn log_ended(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    ended: &EndedDelivery<'_>,
    max: u64,
) -> Result<()> {
    let count = insert(transaction, webhook, event, ended)?;
    schedule_check(transaction, webhook, ended.at)?;
    let kind = ended.kind.as_str();
    if count > max.saturating_add(SLACK) { trim_excess(transaction, webhook, kind, count - max) } else { Ok(()) }
}

/// Adds an ended delivery to the log, in place of an entry of the same event. Returns how many of its kind there are.
pub(super) fn insert(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    ended: &EndedDelivery<'_>,
) -> Result<u64> {
    unlog(transaction, webhook, event)?;
    let kind = ended.kind.as_str();
    let entry = (kind, ended.sequence, ended.at.as_ms(), ended.summary);
    transaction.open_table(DELIVERY_LOG).map_err(store_error)?.insert((webhook, event), entry).map_err(store_error)?;
    transaction
        .open_table(DELIVERY_LOG_ORDER)
        .map_err(store_error)?
        .insert((webhook, kind, ended.sequence, event), ())
        .map_err(store_error)?;
    add_to_count(transaction, webhook, kind, 1)
}

/// Makes sure that the webhook's log and attempts are searched for expired ones.
pub(super) fn schedule_check(transaction: &WriteTransaction, webhook: &str, now: Timestamp) -> Result<()> {
    let mut checks = transaction.open_table(LOG_CHECKS).map_err(store_error)?;
    if checks.get(webhook).map_err(store_error)?.is_none() {
        checks.insert(webhook, now.as_ms() + CHECK_INTERVAL_MS).map_err(store_error)?;
    }
    Ok(())
}

/// Removes a delivery from the log, if it is there.
pub(super) fn unlog(transaction: &WriteTransaction, webhook: &str, event: &str) -> Result<()> {
    let removed = {
        let mut log = transaction.open_table(DELIVERY_LOG).map_err(store_error)?;
        let removed = log.remove((webhook, event)).map_err(store_error)?;
        removed.map(|entry| (entry.value().0.to_owned(), entry.value().1))
    };
    let Some((kind, sequence)) = removed else { return Ok(()) };
    transaction
        .open_table(DELIVERY_LOG_ORDER)
        .map_err(store_error)?
        .remove((webhook, kind.as_str(), sequence, event))
        .map_err(store_error)?;
    add_to_count(transaction, webhook, &kind, -1).map(drop)
}

fn add_to_count(transaction: &WriteTransaction, webhook: &str, kind: &str, difference: i64) -> Result<u64> {
    let mut counts = transaction.open_table(DELIVERY_LOG_COUNTS).map_err(store_error)?;
    let count = counts.get((webhook, kind)).map_err(store_error)?.map_or(0, |count| count.value());
    let count = count.saturating_add_signed(difference);
    if count == 0 { counts.remove((webhook, kind)) } else { counts.insert((webhook, kind), count) }
        .map_err(store_error)?;
    Ok(count)
}

fn trim_excess(transaction: &WriteTransaction, webhook: &str, kind: &str, excess: u64) -> Result<()> {
    let excess = usize::try_from(excess).unwrap_or(usize::MAX);
    oldest_of(transaction, webhook, kind, excess)?.iter().try_for_each(|event| unlog(transaction, webhook, event))
}

fn oldest_of(transaction: &WriteTransaction, webhook: &str, kind: &str, count: usize) -> Result<Vec<String>> {
    let order = transaction.open_table(DELIVERY_LOG_ORDER).map_err(store_error)?;
    let range = order.range((webhook, kind, i64::MIN, "")..(webhook, kind, i64::MAX, "")).map_err(store_error)?;
    range.take(count).map(|entry| entry.map(|(key, _)| key.value().3.to_owned()).map_err(store_error)).collect()
}

/// Counts an attempt in the current hour, and forgets hours before the last day.
pub(super) fn count_attempt(
    transaction: &WriteTransaction,
    webhook: &str,
    outcome: CountedOutcome,
    now: Timestamp,
) -> Result<()> {
    let mut hours = transaction.open_table(HOURS).map_err(store_error)?;
    let hour = now.as_ms() / HOUR_MS;
    let found = hours.get((webhook, hour)).map_err(store_error)?.map(|counts| counts.value());
    let (delivered, failed) = found.unwrap_or_default();
    let counts = match outcome {
        CountedOutcome::Delivered => (delivered + 1, failed),
        CountedOutcome::Failed => (delivered, failed + 1),
    };
    hours.insert((webhook, hour), counts).map_err(store_error)?;
    if found.is_none() {
        let first = hour.saturating_sub(COUNTED_HOURS);
        hours.retain_in((webhook, 0)..(webhook, first), |_, _| false).map_err(store_error)?;
    }
    Ok(())
}

pub(super) fn record_last_attempt(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    attempt: &[u8],
) -> Result<()> {
    let mut last = transaction.open_table(LAST_ATTEMPTS).map_err(store_error)?;
    last.insert((webhook, event), attempt).map_err(store_error)?;
    Ok(())
}

/// Returns the last attempt of a delivery that waits, one line of JSON.
pub(super) fn last_attempt(transaction: &WriteTransaction, webhook: &str, event: &str) -> Result<Option<Vec<u8>>> {
    let last = transaction.open_table(LAST_ATTEMPTS).map_err(store_error)?;
    Ok(last.get((webhook, event)).map_err(store_error)?.map(|line| line.value().to_vec()))
}

/// Returns the sequence of a delivery as lists order it.
pub(super) fn list_sequence(transaction: &WriteTransaction, webhook: &str, event: &str) -> Result<i64> {
    Ok(i64::try_from(sequence_of(transaction, webhook, event)?).unwrap_or(i64::MAX))
}

/// Removes what the log of a removed webhook has.
pub(super) fn drop_log(transaction: &WriteTransaction, webhook: &str) -> Result<()> {
    for kind in DeliveryKind::ALL {
        trim_excess(transaction, webhook, kind.as_str(), u64::MAX)?;
    }
    let mut hours = transaction.open_table(HOURS).map_err(store_error)?;
    hours.retain_in((webhook, 0)..=(webhook, u64::MAX), |_, _| false).map_err(store_error)?;
    transaction.open_table(LOG_CHECKS).map_err(store_error)?.remove(webhook).map_err(store_error)?;
    Ok(())
}

/// Removes expired parts of the logs and attempts of some webhooks.
pub(super) fn trim(transaction: &WriteTransaction, rule: &RetentionPolicy, now: Timestamp) -> Result<()> {
    for webhook in webhooks_to_check(transaction, now)? {
        for kind in [DeliveryKind::Delivered, DeliveryKind::Dropped] {
            trim_expired(transaction, &webhook, kind, rule, now)?;
        }
        let oldest_end = now.minus(rule.max_log_age);
        let left = trim_attempts(transaction, &webhook, rule.oldest_attempt)?
            + recovery_states::trim(transaction, &webhook, oldest_end)?
            + logged(transaction, &webhook)?;
        let mut checks = transaction.open_table(LOG_CHECKS).map_err(store_error)?;
        if left == 0 {
            checks.remove(webhook.as_str()).map_err(store_error)?;
        } else {
            checks.insert(webhook.as_str(), now.as_ms() + CHECK_INTERVAL_MS).map_err(store_error)?;
        }
    }
    Ok(())
}

fn webhooks_to_check(transaction: &WriteTransaction, now: Timestamp) -> Result<Vec<String>> {
    let checks = transaction.open_table(LOG_CHECKS).map_err(store_error)?;
    let mut due = Vec::new();
    for entry in checks.iter().map_err(store_error)? {
        let (webhook, at) = entry.map_err(store_error)?;
        if at.value() <= now.as_ms() {
            due.push(webhook.value().to_owned());
        }
        if due.len() == MAX_CHECKS {
            break;
        }
    }
    Ok(due)
}

fn trim_expired(
    transaction: &WriteTransaction,
    webhook: &str,
    kind: DeliveryKind,
    rule: &RetentionPolicy,
    now: Timestamp,
) -> Result<()> {
    let oldest = oldest_of(transaction, webhook, kind.as_str(), rule.batch as usize)?;
    for event in oldest {
        let ended_ms = {
            let log = transaction.open_table(DELIVERY_LOG).map_err(store_error)?;
            log.get((webhook, event.as_str())).map_err(store_error)?.map_or(0, |entry| entry.value().2)
        };
        if now.since(Timestamp::from_ms(ended_ms)) > rule.max_log_age {
            unlog(transaction, webhook, &event)?;
        }
    }
    Ok(())
}

/// Removes attempts that started before a time. Returns how many are left.
fn trim_attempts(transaction: &WriteTransaction, webhook: &str, oldest: Timestamp) -> Result<u64> {
    let mut attempts = transaction.open_table(ATTEMPTS).map_err(store_error)?;
    let mut left = 0;
    attempts
        .retain_in((webhook, 0)..=(webhook, u64::MAX), |_, line| {
            // An undecodable attempt is removed as well: nothing shows it.
            let is_kept = AttemptRecord::decode(line).is_ok_and(|attempt| attempt.at >= oldest);
            left += u64::from(is_kept);
            is_kept
        })
        .map_err(store_error)?;
    Ok(left)
}

fn logged(transaction: &WriteTransaction, webhook: &str) -> Result<u64> {
    let counts = transaction.open_table(DELIVERY_LOG_COUNTS).map_err(store_error)?;
    let kinds = [DeliveryKind::Delivered, DeliveryKind::Dropped];
    kinds.iter().try_fold(0, |sum, kind| {
        let count = counts.get((webhook, kind.as_str())).map_err(store_error)?;
        Ok(sum + count.map_or(0, |count| count.value()))
    })
}

//! State of deliveries in the embedded store, and the tables derived from it.

use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, Table, WriteTransaction};

use super::errors::store_error;
use super::meta::{read_number, set_number};
use super::queue_clock::queue_now;
use super::sealed;
use super::tables::{
    DELIVERIES, DELIVERY_LOG, DELIVERY_ORDER, DELIVERY_SEQUENCE, EVENTS, LAST_ATTEMPTS, LEASED, META, PENDING_COUNTS,
    QUEUE,
};
use crate::delivery_summary::DeliverySummary;
use crate::error::Result;

/// State of a delivery.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) attempts_made: u32,
    pub(super) token: String,
    pub(super) lease_end_ms: u64,
    pub(super) created_ms: u64,
    pub(super) available_ms: u64,
}

/// Creation of a delivery: its time, and its place in the order of creation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Creation {
    pub(super) ms: u64,
    pub(super) sequence: u64,
}

impl Creation {
    /// Returns the creation of a delivery that is created now.
    pub(super) fn at(transaction: &WriteTransaction, now: Timestamp) -> Result<Self> {
        Ok(Self { ms: now.as_ms(), sequence: next_sequence(transaction)? })
    }

    /// Returns the creation of a delivery that ended. One of which it is not known, because an early version ended it, is
    /// created now.
    pub(super) fn of_ended(transaction: &WriteTransaction, webhook: &str, event: &str, now: Timestamp) -> Result<Self> {
        let known = {
            let log = transaction.open_table(DELIVERY_LOG).map_err(store_error)?;
            log.get((webhook, event)).map_err(store_error)?.and_then(|entry| {
                let (_, sequence, _, summary) = entry.value();
                let ms = DeliverySummary::decode(summary).ok()?.created_at.as_ms();
                Some(Self { ms, sequence: u64::try_from(sequence).ok()? })
            })
        };
        known.map_or_else(|| Self::at(transaction, now), Ok)
    }
}

/// Adds a delivery to a queue, due at once.
pub(super) fn enqueue(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    creation: Creation,
    now: Timestamp,
) -> Result<()> {
    let due_ms = queue_now(transaction, now)?.as_ms();
    transaction
        .open_table(DELIVERIES)
        .map_err(store_error)?
        .insert((webhook, event), (0, "", 0, creation.ms, due_ms))
        .map_err(store_error)?;
    transaction.open_table(QUEUE).map_err(store_error)?.insert((webhook, due_ms, event), ()).map_err(store_error)?;
    set_sequence(transaction, webhook, event, creation.sequence)?;
    let count = pending_count(transaction, webhook)?;
    set_pending_count(transaction, webhook, count + 1)
}

/// Assigns the next creation sequence number to a delivery.
pub(super) fn assign_sequence(transaction: &WriteTransaction, webhook: &str, event: &str) -> Result<()> {
    let sequence = next_sequence(transaction)?;
    set_sequence(transaction, webhook, event, sequence)
}

fn set_sequence(transaction: &WriteTransaction, webhook: &str, event: &str, sequence: u64) -> Result<()> {
    transaction
        .open_table(DELIVERY_ORDER)
        .map_err(store_error)?
        .insert((webhook, sequence, event), ())
        .map_err(store_error)?;
    transaction
        .open_table(DELIVERY_SEQUENCE)
        .map_err(store_error)?
        .insert((webhook, event), sequence)
        .map_err(store_error)?;
    Ok(())
}

/// Returns the creation sequence of a delivery; a new one if it has none.
pub(super) fn sequence_of(transaction: &WriteTransaction, webhook: &str, event: &str) -> Result<u64> {
    let sequences = transaction.open_table(DELIVERY_SEQUENCE).map_err(store_error)?;
    match sequences.get((webhook, event)).map_err(store_error)? {
        Some(sequence) => Ok(sequence.value()),
        None => next_sequence(transaction),
    }
}

/// Returns the next creation sequence number.
pub(super) fn next_sequence(transaction: &WriteTransaction) -> Result<u64> {
    let mut meta = transaction.open_table(META).map_err(store_error)?;
    let sequence = read_number(&meta, "made")? + 1;
    set_number(&mut meta, "made", sequence)?;
    Ok(sequence)
}

/// Returns the event of the delivery created first, whenever it is due.
pub(super) fn oldest_event(transaction: &WriteTransaction, webhook: &str) -> Result<Option<String>> {
    let order = transaction.open_table(DELIVERY_ORDER).map_err(store_error)?;
    let first = order.range((webhook, 0, "")..(webhook, u64::MAX, "")).map_err(store_error)?.next();
    Ok(first.transpose().map_err(store_error)?.map(|(key, _)| key.value().2.to_owned()))
}

pub(super) fn read_delivery(transaction: &WriteTransaction, webhook: &str, event: &str) -> Result<Option<Delivery>> {
    let table = transaction.open_table(DELIVERIES).map_err(store_error)?;
    let stored = table.get((webhook, event)).map_err(store_error)?;
    Ok(stored.map(|stored| {
        let (attempts_made, token, lease_end_ms, created_ms, available_ms) = stored.value();
        Delivery { attempts_made, token: token.to_owned(), lease_end_ms, created_ms, available_ms }
    }))
}

/// Replaces the state of a delivery.
pub(super) fn update_delivery(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    before: &Delivery,
    after: Delivery,
) -> Result<()> {
    remove_from_queue(transaction, webhook, event, before)?;
    let state = (after.attempts_made, after.token.as_str(), after.lease_end_ms, after.created_ms, after.available_ms);
    transaction.open_table(DELIVERIES).map_err(store_error)?.insert((webhook, event), state).map_err(store_error)?;
    let mut queue = transaction.open_table(QUEUE).map_err(store_error)?;
    queue.insert((webhook, after.available_ms, event), ()).map_err(store_error)?;
    if !after.token.is_empty() {
        let mut leased = transaction.open_table(LEASED).map_err(store_error)?;
        leased.insert((webhook, after.lease_end_ms, event), ()).map_err(store_error)?;
    }
    Ok(())
}

/// Writes a delivery of another store, which may have been written before.
pub(super) fn replace_delivery(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    delivery: Delivery,
    sequence: Option<u64>,
) -> Result<()> {
    match read_delivery(transaction, webhook, event)? {
        Some(before) => update_delivery(transaction, webhook, event, &before, delivery)?,
        None => {
            let count = pending_count(transaction, webhook)?;
            set_pending_count(transaction, webhook, count + 1)?;
            update_delivery(transaction, webhook, event, &delivery.clone(), delivery)?;
        }
    }
    sequence.map_or(Ok(()), |sequence| set_sequence(transaction, webhook, event, sequence))
}

/// Finishes a delivery. The last delivery of an event to finish erases its body and secret.
pub(super) fn finish_delivery(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    delivery: &Delivery,
) -> Result<()> {
    remove_from_queue(transaction, webhook, event, delivery)?;
    transaction.open_table(DELIVERIES).map_err(store_error)?.remove((webhook, event)).map_err(store_error)?;
    transaction.open_table(LAST_ATTEMPTS).map_err(store_error)?.remove((webhook, event)).map_err(store_error)?;
    let sequence = {
        let mut sequences = transaction.open_table(DELIVERY_SEQUENCE).map_err(store_error)?;
        sequences.remove((webhook, event)).map_err(store_error)?.map(|sequence| sequence.value())
    };
    if let Some(sequence) = sequence {
        transaction
            .open_table(DELIVERY_ORDER)
            .map_err(store_error)?
            .remove((webhook, sequence, event))
            .map_err(store_error)?;
    }
    let count = pending_count(transaction, webhook)?;
    set_pending_count(transaction, webhook, count.saturating_sub(1))?;
    let mut events = transaction.open_table(EVENTS).map_err(store_error)?;
    let stored = events.get(event).map_err(store_error)?.map(|stored| (stored.value().0, stored.value().1.to_vec()));
    match stored {
        Some((left, body)) if left > 1 => {
            events.insert(event, (left - 1, body.as_slice())).map_err(store_error)?;
        }
        Some(_) | None => {
            events.remove(event).map_err(store_error)?;
            sealed::erase(transaction, event)?;
        }
    }
    Ok(())
}

fn remove_from_queue(transaction: &WriteTransaction, webhook: &str, event: &str, delivery: &Delivery) -> Result<()> {
    let mut queue: Table<'_, (&str, u64, &str), ()> = transaction.open_table(QUEUE).map_err(store_error)?;
    queue.remove((webhook, delivery.available_ms, event)).map_err(store_error)?;
    let mut leased = transaction.open_table(LEASED).map_err(store_error)?;
    leased.remove((webhook, delivery.lease_end_ms, event)).map_err(store_error)?;
    Ok(())
}

pub(super) fn pending_count(transaction: &WriteTransaction, webhook: &str) -> Result<u64> {
    let table = transaction.open_table(PENDING_COUNTS).map_err(store_error)?;
    Ok(table.get(webhook).map_err(store_error)?.map_or(0, |count| count.value()))
}

fn set_pending_count(transaction: &WriteTransaction, webhook: &str, count: u64) -> Result<()> {
    let mut table = transaction.open_table(PENDING_COUNTS).map_err(store_error)?;
    if count == 0 { table.remove(webhook) } else { table.insert(webhook, count) }.map_err(store_error)?;
    Ok(())
}

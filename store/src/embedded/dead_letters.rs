//! Dead letters in the embedded store, and dropping of queues.

use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, WriteTransaction};

use super::database::Embedded;
use super::deliveries::{Creation, enqueue, finish_delivery, read_delivery};
use super::delivery_log::{self, EndedDelivery};
use super::errors::store_error;
use super::meta::{read_number, set_number};
use super::recovery_states;
use super::sealed;
use super::tables::{
    ATTEMPTS, CAPPED, DEAD_AGES, DEAD_BY_TIME, DEAD_COUNTS, DEAD_LETTERS, DEAD_SEALED, DELIVERIES, EVENTS, META,
};
use super::webhook_failures;
use crate::error::Result;
use crate::ops::{DROP_QUEUE_BATCH, DeliveryKind, LeaseStatus};

/// How a delivery was given up, and how many dead letters its webhook may have.
pub(super) struct Death<'a> {
    pub(super) attempts_made: u32,
    pub(super) reason: &'a str,
    /// Summary for the log of the webhook.
    pub(super) summary: &'a [u8],
    pub(super) at: Timestamp,
    /// Maximum dead letters of the webhook.
    pub(super) max_dead: u64,
}

impl Embedded {
    pub(crate) async fn resend(&self, webhook: WebhookId, event: EventId) -> Result<LeaseStatus> {
        let now = self.now();
        self.perform(move |transaction| resend(transaction, webhook.as_str(), event.as_str(), now)).await
    }

    pub(crate) async fn drop_queue(&self, webhook: WebhookId) -> Result<u64> {
        self.perform(move |transaction| drop_queue(transaction, webhook.as_str())).await
    }
}

/// Writes a dead letter with a copy of the event's body and secret, so that it can be resent. Beyond the maximum, the
/// oldest is dropped.
pub(super) fn move_to_dead_letters(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    death: &Death<'_>,
) -> Result<()> {
    let sequence = delivery_log::list_sequence(transaction, webhook, event)?;
    let ended = EndedDelivery { kind: DeliveryKind::Dead, sequence, at: death.at, summary: death.summary };
    // Dead letters have a maximum of their own.
    delivery_log::log_ended(transaction, webhook, event, &ended, u64::MAX)?;
    let events = transaction.open_table(EVENTS).map_err(store_error)?;
    let body = events.get(event).map_err(store_error)?.map(|stored| stored.value().1.to_vec()).unwrap_or_default();
    let sealed = sealed::get(transaction, event)?;
    let letter = (death.at.as_ms(), death.attempts_made, death.reason, body.as_slice(), sealed.as_deref());
    transaction.open_table(DEAD_LETTERS).map_err(store_error)?.insert((webhook, event), letter).map_err(store_error)?;
    let mut by_time = transaction.open_table(DEAD_BY_TIME).map_err(store_error)?;
    by_time.insert((webhook, death.at.as_ms(), event), ()).map_err(store_error)?;
    let age = (death.at.as_ms(), webhook, event);
    transaction.open_table(DEAD_AGES).map_err(store_error)?.insert(age, ()).map_err(store_error)?;
    if sealed.is_some() {
        transaction.open_table(DEAD_SEALED).map_err(store_error)?.insert(age, ()).map_err(store_error)?;
    }
    drop((events, by_time));
    let count = dead_letter_count(transaction, webhook)? + 1;
    set_dead_letter_count(transaction, webhook, count)?;
    if count > death.max_dead { drop_oldest(transaction, webhook) } else { Ok(()) }
}

fn drop_oldest(transaction: &WriteTransaction, webhook: &str) -> Result<()> {
    let oldest = {
        let by_time = transaction.open_table(DEAD_BY_TIME).map_err(store_error)?;
        let first = by_time.range((webhook, 0, "")..(webhook, u64::MAX, "")).map_err(store_error)?.next();
        first.transpose().map_err(store_error)?.map(|(key, _)| key.value().2.to_owned())
    };
    let Some(oldest) = oldest else { return Ok(()) };
    remove(transaction, webhook, &oldest)?;
    let mut meta = transaction.open_table(META).map_err(store_error)?;
    let dropped = read_number(&meta, "dead_dropped")?;
    set_number(&mut meta, "dead_dropped", dropped + 1)
}

pub(super) fn dead_letter_count(transaction: &WriteTransaction, webhook: &str) -> Result<u64> {
    let counts = transaction.open_table(DEAD_COUNTS).map_err(store_error)?;
    Ok(counts.get(webhook).map_err(store_error)?.map_or(0, |count| count.value()))
}

pub(super) fn set_dead_letter_count(transaction: &WriteTransaction, webhook: &str, count: u64) -> Result<()> {
    let mut counts = transaction.open_table(DEAD_COUNTS).map_err(store_error)?;
    if count == 0 { counts.remove(webhook) } else { counts.insert(webhook, count) }.map_err(store_error)?;
    Ok(())
}

pub(super) fn remove(transaction: &WriteTransaction, webhook: &str, event: &str) -> Result<()> {
    let died_ms = {
        let mut dead = transaction.open_table(DEAD_LETTERS).map_err(store_error)?;
        let removed = dead.remove((webhook, event)).map_err(store_error)?;
        removed.map(|letter| letter.value().0)
    };
    if let Some(died_ms) = died_ms {
        delivery_log::unlog(transaction, webhook, event)?;
        let mut by_time = transaction.open_table(DEAD_BY_TIME).map_err(store_error)?;
        by_time.remove((webhook, died_ms, event)).map_err(store_error)?;
        let age = (died_ms, webhook, event);
        transaction.open_table(DEAD_AGES).map_err(store_error)?.remove(age).map_err(store_error)?;
        transaction.open_table(DEAD_SEALED).map_err(store_error)?.remove(age).map_err(store_error)?;
        let remaining = dead_letter_count(transaction, webhook)?.saturating_sub(1);
        set_dead_letter_count(transaction, webhook, remaining)?;
    }
    Ok(())
}

pub(super) fn erase_secret(transaction: &WriteTransaction, died_ms: u64, webhook: &str, event: &str) -> Result<()> {
    let mut dead = transaction.open_table(DEAD_LETTERS).map_err(store_error)?;
    let letter = dead.get((webhook, event)).map_err(store_error)?.map(|letter| {
        let (_, attempts_made, reason, body, _) = letter.value();
        (attempts_made, reason.to_owned(), body.to_vec())
    });
    if let Some((attempts_made, reason, body)) = letter {
        let letter = (died_ms, attempts_made, reason.as_str(), body.as_slice(), None);
        dead.insert((webhook, event), letter).map_err(store_error)?;
    }
    transaction.open_table(DEAD_SEALED).map_err(store_error)?.remove((died_ms, webhook, event)).map_err(store_error)?;
    Ok(())
}

pub(super) fn resend(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    now: Timestamp,
) -> Result<LeaseStatus> {
    let dead = transaction.open_table(DEAD_LETTERS).map_err(store_error)?;
    let letter = dead.get((webhook, event)).map_err(store_error)?.map(|letter| {
        let (died_ms, _, _, body, sealed) = letter.value();
        (died_ms, body.to_vec(), sealed.map(<[u8]>::to_vec))
    });
    drop(dead);
    let Some((died_ms, body, secret)) = letter else { return Ok(LeaseStatus::Lost) };
    let creation = Creation::of_ended(transaction, webhook, event, now)?;
    let mut events = transaction.open_table(EVENTS).map_err(store_error)?;
    let deliveries_left = events.get(event).map_err(store_error)?.map_or(0, |stored| stored.value().0);
    events.insert(event, (deliveries_left + 1, body.as_slice())).map_err(store_error)?;
    if let Some(secret) = secret {
        // The secret's age stays that of the letter.
        sealed::put(transaction, event, died_ms, &secret)?;
    }
    drop(events);
    enqueue(transaction, webhook, event, creation, now)?;
    remove(transaction, webhook, event)?;
    Ok(LeaseStatus::Held)
}

fn drop_queue(transaction: &WriteTransaction, webhook: &str) -> Result<u64> {
    let pending = event_ids(transaction, QueueTable::Deliveries, webhook)?;
    for event in &pending {
        if let Some(delivery) = read_delivery(transaction, webhook, event)? {
            finish_delivery(transaction, webhook, event, &delivery)?;
        }
    }
    let dead = event_ids(transaction, QueueTable::DeadLetters, webhook)?;
    for event in &dead {
        remove(transaction, webhook, event)?;
    }
    let mut attempts = transaction.open_table(ATTEMPTS).map_err(store_error)?;
    attempts.retain_in((webhook, 0)..=(webhook, u64::MAX), |_, _| false).map_err(store_error)?;
    drop(attempts);
    delivery_log::drop_log(transaction, webhook)?;
    recovery_states::drop_all(transaction, webhook)?;
    transaction.open_table(CAPPED).map_err(store_error)?.remove(webhook).map_err(store_error)?;
    webhook_failures::reset(transaction, webhook)?;
    Ok((pending.len() + dead.len()) as u64)
}

/// The tables to clear for a removed webhook.
enum QueueTable {
    Deliveries,
    DeadLetters,
}

/// Returns events of a webhook's deliveries or dead letters, at most [`DROP_QUEUE_BATCH`].
fn event_ids(transaction: &WriteTransaction, source: QueueTable, webhook: &str) -> Result<Vec<String>> {
    let mut event_ids = Vec::new();
    macro_rules! collect {
        ($table:ident) => {{
            let table = transaction.open_table($table).map_err(store_error)?;
            for entry in table.range((webhook, "")..).map_err(store_error)?.take(DROP_QUEUE_BATCH as usize) {
                let (key, _) = entry.map_err(store_error)?;
                if key.value().0 != webhook {
                    break;
                }
                event_ids.push(key.value().1.to_owned());
            }
        }};
    }
    match source {
        QueueTable::Deliveries => collect!(DELIVERIES),
        QueueTable::DeadLetters => collect!(DEAD_LETTERS),
    }
    Ok(event_ids)
}

//! The state of deliveries in the embedded store, and the tables that follow from it.

use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, Table, WriteTransaction};

use super::tables::{DELIVERIES, EVENTS, LEASED, MADE, MADE_AS, META, PENDING, QUEUE};
use super::{failure, number, sealed, set_number};
use crate::error::Result;

/// A delivery's state.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) attempts_made: u32,
    pub(super) token: String,
    pub(super) lease_end_ms: u64,
    pub(super) created_ms: u64,
    pub(super) available_ms: u64,
}

/// Puts a new delivery into a queue, available at once.
pub(super) fn enqueue(transaction: &WriteTransaction, webhook: &str, event: &str, now: Timestamp) -> Result<()> {
    let ms = now.as_ms();
    transaction
        .open_table(DELIVERIES)
        .map_err(failure)?
        .insert((webhook, event), (0, "", 0, ms, ms))
        .map_err(failure)?;
    transaction.open_table(QUEUE).map_err(failure)?.insert((webhook, ms, event), ()).map_err(failure)?;
    number_it(transaction, webhook, event)?;
    let count = pending(transaction, webhook)?;
    set_pending(transaction, webhook, count + 1)
}

/// Writes down that a delivery was made after all others.
pub(super) fn number_it(transaction: &WriteTransaction, webhook: &str, event: &str) -> Result<()> {
    let mut meta = transaction.open_table(META).map_err(failure)?;
    let made = number(&meta, "made")? + 1;
    set_number(&mut meta, "made", made)?;
    transaction.open_table(MADE).map_err(failure)?.insert((webhook, made, event), ()).map_err(failure)?;
    transaction.open_table(MADE_AS).map_err(failure)?.insert((webhook, event), made).map_err(failure)?;
    Ok(())
}

/// The delivery that was made first, whenever it is due.
pub(super) fn oldest(transaction: &WriteTransaction, webhook: &str) -> Result<Option<String>> {
    let made = transaction.open_table(MADE).map_err(failure)?;
    let first = made.range((webhook, 0, "")..(webhook, u64::MAX, "")).map_err(failure)?.next();
    Ok(first.transpose().map_err(failure)?.map(|(key, _)| key.value().2.to_owned()))
}

pub(super) fn delivery(transaction: &WriteTransaction, webhook: &str, event: &str) -> Result<Option<Delivery>> {
    let table = transaction.open_table(DELIVERIES).map_err(failure)?;
    let stored = table.get((webhook, event)).map_err(failure)?;
    Ok(stored.map(|stored| {
        let (attempts_made, token, lease_end_ms, created_ms, available_ms) = stored.value();
        Delivery { attempts_made, token: token.to_owned(), lease_end_ms, created_ms, available_ms }
    }))
}

/// Puts a delivery into another state.
pub(super) fn move_to(
    transaction: &WriteTransaction,
    webhook: &str,
    event: &str,
    before: &Delivery,
    after: Delivery,
) -> Result<()> {
    leave(transaction, webhook, event, before)?;
    let state = (after.attempts_made, after.token.as_str(), after.lease_end_ms, after.created_ms, after.available_ms);
    transaction.open_table(DELIVERIES).map_err(failure)?.insert((webhook, event), state).map_err(failure)?;
    let mut queue = transaction.open_table(QUEUE).map_err(failure)?;
    queue.insert((webhook, after.available_ms, event), ()).map_err(failure)?;
    if !after.token.is_empty() {
        let mut leased = transaction.open_table(LEASED).map_err(failure)?;
        leased.insert((webhook, after.lease_end_ms, event), ()).map_err(failure)?;
    }
    Ok(())
}

/// Ends a delivery. The event's last one to end erases its body and its secret.
pub(super) fn end(transaction: &WriteTransaction, webhook: &str, event: &str, before: &Delivery) -> Result<()> {
    leave(transaction, webhook, event, before)?;
    transaction.open_table(DELIVERIES).map_err(failure)?.remove((webhook, event)).map_err(failure)?;
    let made = {
        let mut made_as = transaction.open_table(MADE_AS).map_err(failure)?;
        made_as.remove((webhook, event)).map_err(failure)?.map(|made| made.value())
    };
    if let Some(made) = made {
        transaction.open_table(MADE).map_err(failure)?.remove((webhook, made, event)).map_err(failure)?;
    }
    let count = pending(transaction, webhook)?;
    set_pending(transaction, webhook, count.saturating_sub(1))?;
    let mut events = transaction.open_table(EVENTS).map_err(failure)?;
    let stored = events.get(event).map_err(failure)?.map(|stored| (stored.value().0, stored.value().1.to_vec()));
    match stored {
        Some((left, body)) if left > 1 => {
            events.insert(event, (left - 1, body.as_slice())).map_err(failure)?;
        }
        Some(_) | None => {
            events.remove(event).map_err(failure)?;
            sealed::erase(transaction, event)?;
        }
    }
    Ok(())
}

fn leave(transaction: &WriteTransaction, webhook: &str, event: &str, before: &Delivery) -> Result<()> {
    let mut queue: Table<'_, (&str, u64, &str), ()> = transaction.open_table(QUEUE).map_err(failure)?;
    queue.remove((webhook, before.available_ms, event)).map_err(failure)?;
    let mut leased = transaction.open_table(LEASED).map_err(failure)?;
    leased.remove((webhook, before.lease_end_ms, event)).map_err(failure)?;
    Ok(())
}

pub(super) fn pending(transaction: &WriteTransaction, webhook: &str) -> Result<u64> {
    let table = transaction.open_table(PENDING).map_err(failure)?;
    Ok(table.get(webhook).map_err(failure)?.map_or(0, |count| count.value()))
}

fn set_pending(transaction: &WriteTransaction, webhook: &str, count: u64) -> Result<()> {
    let mut table = transaction.open_table(PENDING).map_err(failure)?;
    if count == 0 { table.remove(webhook) } else { table.insert(webhook, count) }.map_err(failure)?;
    Ok(())
}

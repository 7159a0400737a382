//! Failures of webhooks in a row in the embedded store, and holds of their queues.

use std::time::Duration;

use gatepost_domain::id::WebhookId;
use gatepost_domain::record::FailureStreak;
use gatepost_domain::time::Timestamp;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::database::Embedded;
use super::errors::store_error;
use super::queue_clock::queue_now;
use super::tables::{FAILURES, HELD};
use crate::error::Result;
use crate::ops::{CountedOutcome, MAX_HOLDS_TOGETHER, REFUSAL_INTERVAL};

impl Embedded {
    pub(crate) async fn hold_queue(&self, webhook: WebhookId, hold: Duration) -> Result<()> {
        let now = self.now();
        self.perform(move |transaction| {
            let until = queue_now(transaction, now)?.plus(hold);
            hold_until(transaction, webhook.as_str(), until)
        })
        .await
    }

    pub(crate) async fn end_hold(&self, webhook: WebhookId) -> Result<()> {
        self.perform(move |transaction| end_hold(transaction, webhook.as_str())).await
    }

    pub(crate) async fn reset_failures(&self, webhook: WebhookId) -> Result<()> {
        self.perform(move |transaction| reset(transaction, webhook.as_str())).await
    }
}

/// Notes what an attempt says about the receiver: a 2xx ends the failures before it, a failure and the refusals of an
/// hour count as one. Returns the failures in a row after a failed attempt.
pub(super) fn note_outcome(
    transaction: &WriteTransaction,
    webhook: &str,
    outcome: CountedOutcome,
    hold: Option<Duration>,
    now: Timestamp,
    queue_time: Timestamp,
) -> Result<Option<FailureStreak>> {
    let mut table = transaction.open_table(FAILURES).map_err(store_error)?;
    if outcome == CountedOutcome::Delivered {
        table.remove(webhook).map_err(store_error)?;
        return Ok(None);
    }
    let stored = table.get(webhook).map_err(store_error)?.map(|stored| stored.value());
    let (mut failures, first_ms, mut refused_ms, mut held_since_ms) = stored.unwrap_or((0, now.as_ms(), 0, 0));
    if hold.is_none() {
        failures += 1;
    } else if REFUSAL_INTERVAL <= now.since(Timestamp::from_ms(refused_ms)) {
        failures += 1;
        refused_ms = now.as_ms();
    }
    if let Some(hold) = hold {
        held_since_ms = if held_since_ms == 0 { queue_time.as_ms() } else { held_since_ms };
        let end = Timestamp::from_ms(held_since_ms).plus(MAX_HOLDS_TOGETHER);
        hold_until(transaction, webhook, queue_time.plus(hold).min(end))?;
    }
    table.insert(webhook, (failures, first_ms, refused_ms, held_since_ms)).map_err(store_error)?;
    Ok(Some(FailureStreak { failures, lasted: now.since(Timestamp::from_ms(first_ms)) }))
}

/// Sends nothing to a webhook until this time, or until a later one that was set before.
fn hold_until(transaction: &WriteTransaction, webhook: &str, until: Timestamp) -> Result<()> {
    let mut table = transaction.open_table(HELD).map_err(store_error)?;
    let current = table.get(webhook).map_err(store_error)?.map_or(0, |until| until.value());
    table.insert(webhook, current.max(until.as_ms())).map_err(store_error)?;
    Ok(())
}

/// Returns whether nothing is sent to a webhook now. A hold that has ended is forgotten.
pub(super) fn is_held(transaction: &WriteTransaction, webhook: &str, now: Timestamp) -> Result<bool> {
    let mut table = transaction.open_table(HELD).map_err(store_error)?;
    let held_until = table.get(webhook).map_err(store_error)?.map(|until| until.value());
    match held_until {
        Some(until) if now.as_ms() < until => Ok(true),
        Some(_) => {
            table.remove(webhook).map_err(store_error)?;
            Ok(false)
        }
        None => Ok(false),
    }
}

/// Returns the time of the clock of the queues until which nothing is sent to a webhook, in ms; 0 without a hold.
pub(super) fn held_until_ms(transaction: &ReadTransaction, webhook: &str) -> Result<u64> {
    let held = transaction.open_table(HELD).map_err(store_error)?;
    Ok(held.get(webhook).map_err(store_error)?.map_or(0, |until| until.value()))
}

/// Forgets the failures and the hold of a webhook.
pub(super) fn reset(transaction: &WriteTransaction, webhook: &str) -> Result<()> {
    transaction.open_table(FAILURES).map_err(store_error)?.remove(webhook).map_err(store_error)?;
    end_hold(transaction, webhook)
}

fn end_hold(transaction: &WriteTransaction, webhook: &str) -> Result<()> {
    transaction.open_table(HELD).map_err(store_error)?.remove(webhook).map_err(store_error)?;
    Ok(())
}

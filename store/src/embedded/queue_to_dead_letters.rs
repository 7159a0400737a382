//! The end of a disabled webhook's queue in the embedded store.

use gatepost_domain::id::WebhookId;
use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, WriteTransaction};

use super::database::Embedded;
use super::dead_letters::{self, Death};
use super::deliveries::{Delivery, finish_delivery, read_delivery};
use super::errors::store_error;
use super::queue::summary_without_report;
use super::queue_clock::queue_now;
use super::tables::QUEUE;
use crate::error::Result;
use crate::ops::{DROP_QUEUE_BATCH, MAX_DEAD_LETTERS};

impl Embedded {
    pub(crate) async fn move_queue_to_dead_letters(&self, webhook: WebhookId, reason: &'static str) -> Result<u64> {
        let now = self.now();
        self.perform(move |transaction| move_to_dead_letters(transaction, webhook.as_str(), reason, now)).await
    }
}

/// Moves deliveries that are not leased to the dead letters, and returns how many.
fn move_to_dead_letters(transaction: &WriteTransaction, webhook: &str, reason: &str, now: Timestamp) -> Result<u64> {
    let (mut moved, queue_time) = (0, queue_now(transaction, now)?);
    for event in first_events(transaction, webhook)? {
        let is_leased = |delivery: &Delivery| !delivery.token.is_empty() && queue_time.as_ms() < delivery.lease_end_ms;
        let delivery = read_delivery(transaction, webhook, &event)?;
        let Some(delivery) = delivery.filter(|delivery| !is_leased(delivery)) else { continue };
        let death = Death {
            attempts_made: delivery.attempts_made,
            reason,
            summary: &summary_without_report(transaction, webhook, &event, &delivery)?,
            at: now,
            max_dead: MAX_DEAD_LETTERS,
        };
        dead_letters::move_to_dead_letters(transaction, webhook, &event, &death)?;
        finish_delivery(transaction, webhook, &event, &delivery)?;
        moved += 1;
    }
    Ok(moved)
}

fn first_events(transaction: &WriteTransaction, webhook: &str) -> Result<Vec<String>> {
    let queue = transaction.open_table(QUEUE).map_err(store_error)?;
    let first = queue.range((webhook, 0, "")..(webhook, u64::MAX, "")).map_err(store_error)?;
    let first = first.take(DROP_QUEUE_BATCH as usize);
    first.map(|entry| entry.map(|(key, _)| key.value().2.to_owned()).map_err(store_error)).collect()
}

//! Reading the queues of the embedded store.

use std::ops::Bound;
use std::time::Duration;

use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::time::{Timestamp, Version};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata};

use super::database::Embedded;
use super::errors::store_error;
use super::meta::read_number;
use super::queue_clock::QueueClock;
use super::tables::{
    ATTEMPTS, CAPPED, DEAD_BY_TIME, DEAD_LETTERS, DELIVERIES, DeadLetterState, HELD, LEASED, META, QUARANTINE, QUEUE,
};
use crate::error::{Result, StoreErrorKind};
use crate::ops::{DeadLetterPosition, DueWebhooks, QueueStats, RawDeadLetter};

impl Embedded {
    pub(crate) async fn fan_out_cursor(&self) -> Result<Version> {
        self.position("fan_out")
    }

    pub(crate) async fn due_webhooks(&self, skip: u32, limit: u32) -> Result<DueWebhooks> {
        let transaction = self.read()?;
        let now = QueueClock::read(&transaction, self.now())?.now;
        let mut available = available_from(&transaction)?;
        available.sort_unstable();
        let next_ms = available.iter().map(|(ms, _)| *ms).find(|ms| *ms > now.as_ms());
        let due = available.into_iter().filter(|(ms, _)| *ms <= now.as_ms());
        let due = due.skip(skip as usize).take(limit as usize);
        Ok(DueWebhooks {
            webhooks: due.map(|(_, webhook)| parse_webhook(&webhook)).collect::<Result<_>>()?,
            next_in: next_ms.map(|ms| Timestamp::from_ms(ms).since(now)),
        })
    }

    pub(crate) async fn attempts(&self, webhook: WebhookId, limit: u32) -> Result<Vec<Vec<u8>>> {
        let transaction = self.read()?;
        let table = transaction.open_table(ATTEMPTS).map_err(store_error)?;
        let range = table.range((webhook.as_str(), 0)..=(webhook.as_str(), u64::MAX)).map_err(store_error)?;
        let newest_first = range.rev().take(limit as usize);
        newest_first.map(|entry| entry.map(|(_, attempt)| attempt.value().to_vec()).map_err(store_error)).collect()
    }

    pub(crate) async fn dead_letters(
        &self,
        webhook: WebhookId,
        after: Option<DeadLetterPosition>,
        limit: u32,
    ) -> Result<Vec<RawDeadLetter>> {
        let transaction = self.read()?;
        let by_time = transaction.open_table(DEAD_BY_TIME).map_err(store_error)?;
        let dead = transaction.open_table(DEAD_LETTERS).map_err(store_error)?;
        let webhook = webhook.as_str();
        let start = match &after {
            Some(position) => Bound::Excluded((webhook, position.died_at.as_ms(), position.event.as_str())),
            None => Bound::Included((webhook, 0, "")),
        };
        let end = Bound::Excluded((webhook, u64::MAX, ""));
        let mut letters = Vec::new();
        for entry in by_time.range((start, end)).map_err(store_error)?.take(limit as usize) {
            let (key, _) = entry.map_err(store_error)?;
            letters.extend(read_dead_letter(&dead, webhook, key.value().2)?);
        }
        Ok(letters)
    }

    pub(crate) async fn dead_letter(&self, webhook: WebhookId, event: EventId) -> Result<Option<RawDeadLetter>> {
        let dead = self.read()?.open_table(DEAD_LETTERS).map_err(store_error)?;
        read_dead_letter(&dead, webhook.as_str(), event.as_str())
    }

    pub(crate) async fn quarantine(&self, before: Version, limit: u32) -> Result<Vec<(Version, Vec<u8>, String)>> {
        let transaction = self.read()?;
        let table = transaction.open_table(QUARANTINE).map_err(store_error)?;
        let entries = table.range(..before.as_u64()).map_err(store_error)?.rev().take(limit as usize);
        entries
            .map(|entry| {
                let (version, stored) = entry.map_err(store_error)?;
                let (bytes, reason) = stored.value();
                Ok((Version::from_u64(version.value()), bytes.to_vec(), reason.to_owned()))
            })
            .collect()
    }

    pub(crate) async fn queue_stats(&self) -> Result<QueueStats> {
        let transaction = self.read()?;
        let now = QueueClock::read(&transaction, self.now())?.now;
        let meta = transaction.open_table(META).map_err(store_error)?;
        let deliveries = transaction.open_table(DELIVERIES).map_err(store_error)?.len().map_err(store_error)?;
        let leased = count_leased(&transaction, now)?;
        let oldest_ms = available_from(&transaction)?.into_iter().map(|(ms, _)| ms).min();
        Ok(QueueStats {
            pending: deliveries.saturating_sub(leased),
            leased,
            dead_letters: transaction.open_table(DEAD_LETTERS).map_err(store_error)?.len().map_err(store_error)?,
            quarantined: transaction.open_table(QUARANTINE).map_err(store_error)?.len().map_err(store_error)?,
            max_overdue: oldest_ms.map_or(Duration::ZERO, |ms| now.since(Timestamp::from_ms(ms))),
            dead_letters_dropped: read_number(&meta, "dead_dropped")?,
            fan_out_backlog: read_number(&meta, "entries")?.saturating_sub(read_number(&meta, "fanned")?),
        })
    }
}

pub(super) fn read_dead_letter(
    dead: &ReadOnlyTable<(&'static str, &'static str), DeadLetterState<'static>>,
    webhook: &str,
    event: &str,
) -> Result<Option<RawDeadLetter>> {
    let Some(letter) = dead.get((webhook, event)).map_err(store_error)? else { return Ok(None) };
    let (died_ms, attempts_made, reason, body, sealed) = letter.value();
    Ok(Some(RawDeadLetter {
        event: EventId::parse(event).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        body: body.to_vec(),
        sealed: sealed.map(<[u8]>::to_vec),
        attempts_made,
        died_at: Timestamp::from_ms(died_ms),
        reason: reason.to_owned(),
    }))
}

/// Returns from when each webhook has deliveries to lease, in ms: the due time of its first one, or the end of its cap
/// or its hold.
fn available_from(transaction: &ReadTransaction) -> Result<Vec<(u64, String)>> {
    let queue = transaction.open_table(QUEUE).map_err(store_error)?;
    let capped = transaction.open_table(CAPPED).map_err(store_error)?;
    let held = transaction.open_table(HELD).map_err(store_error)?;
    let mut available = Vec::new();
    let mut after = String::new();
    loop {
        let first = queue.range((after.as_str(), u64::MAX, "")..).map_err(store_error)?.next();
        let Some((key, _)) = first.transpose().map_err(store_error)? else { return Ok(available) };
        let (webhook, ms, _) = key.value();
        let capped_until = capped.get(webhook).map_err(store_error)?.map_or(0, |ms| ms.value());
        let held_until = held.get(webhook).map_err(store_error)?.map_or(0, |ms| ms.value());
        available.push((ms.max(capped_until).max(held_until), webhook.to_owned()));
        webhook.clone_into(&mut after);
    }
}

fn count_leased(transaction: &ReadTransaction, now: Timestamp) -> Result<u64> {
    let table = transaction.open_table(LEASED).map_err(store_error)?;
    let mut count = 0;
    for entry in table.iter().map_err(store_error)? {
        let (key, _) = entry.map_err(store_error)?;
        count += u64::from(now.as_ms() < key.value().1);
    }
    Ok(count)
}

fn parse_webhook(text: &str) -> Result<WebhookId> {
    WebhookId::parse(text).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

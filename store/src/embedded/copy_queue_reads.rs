//! Reading the queues of an embedded store, for a copy to another store.

use gatepost_domain::time::Version;
use redb::ReadTransaction;

use super::copy_rows::{TablePage, read_rows};
use super::errors::store_error;
use super::recovery_states;
use super::tables::{
    ATTEMPTS, DEAD_LETTERS, DELIVERIES, DELIVERY_LOG, DELIVERY_SEQUENCE, EVENTS, FAILURES, HELD, HOURS, LAST_ATTEMPTS,
    LOG_CHECKS, QUARANTINE, RECOVERIES,
};
use crate::copied_entry::{CopiedDeadLetter, CopiedDelivery, CopiedEntry, CopiedLogEntry};
use crate::error::{Result, StoreErrorKind};
use crate::ops::DeliveryKind;

pub(super) fn event_bodies(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, EVENTS, after, |event, (deliveries_left, body)| {
        Ok(Some(CopiedEntry::EventBody { event: event.to_owned(), deliveries_left, body: body.to_vec() }))
    })
}

pub(super) fn deliveries(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    let sequences = transaction.open_table(DELIVERY_SEQUENCE).map_err(store_error)?;
    let last_attempts = transaction.open_table(LAST_ATTEMPTS).map_err(store_error)?;
    read_rows(transaction, DELIVERIES, after, |(webhook, event), state| {
        let (attempts_made, token, lease_end_ms, created_ms, available_ms) = state;
        let sequence = sequences.get((webhook, event)).map_err(store_error)?.map(|sequence| sequence.value());
        let last_attempt = last_attempts.get((webhook, event)).map_err(store_error)?;
        Ok(Some(CopiedEntry::Delivery(CopiedDelivery {
            webhook: webhook.to_owned(),
            event: event.to_owned(),
            attempts_made,
            token: token.to_owned(),
            lease_end_ms,
            created_ms,
            available_ms,
            sequence,
            last_attempt: last_attempt.map(|line| line.value().to_vec()),
        })))
    })
}

pub(super) fn holds(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, HELD, after, |webhook, until_ms| {
        Ok(Some(CopiedEntry::Hold { webhook: webhook.to_owned(), until_ms }))
    })
}

pub(super) fn failures(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, FAILURES, after, |webhook, (failures, first_ms, refused_ms, held_ms)| {
        Ok(Some(CopiedEntry::Failures { webhook: webhook.to_owned(), failures, first_ms, refused_ms, held_ms }))
    })
}

/// Reads the attempts of the next webhook.
pub(super) fn attempts(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    let after = std::str::from_utf8(after.unwrap_or_default()).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    let table = transaction.open_table(ATTEMPTS).map_err(store_error)?;
    let next = table.range((after, u64::MAX)..).map_err(store_error)?.next().transpose().map_err(store_error)?;
    let Some((key, _)) = next else { return Ok(TablePage::default()) };
    let webhook = key.value().0.to_owned();
    let lines = table.range((webhook.as_str(), 0)..=(webhook.as_str(), u64::MAX)).map_err(store_error)?.rev();
    let newest_first =
        lines.map(|row| row.map(|(_, line)| line.value().to_vec()).map_err(store_error)).collect::<Result<_>>()?;
    let last = Some(webhook.clone().into_bytes());
    Ok(TablePage { entries: vec![CopiedEntry::Attempts { webhook, newest_first }], last })
}

/// Reads the log without dead letters, which have entries of their own.
pub(super) fn log_entries(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, DELIVERY_LOG, after, |(webhook, event), (kind, sequence, ended_ms, summary)| {
        let kind = DeliveryKind::ALL.into_iter().find(|known| known.as_str() == kind);
        let kind = kind.ok_or_else(|| StoreErrorKind::Corrupt.with("a log has an unknown kind of delivery"))?;
        let (webhook, event, summary) = (webhook.to_owned(), event.to_owned(), summary.to_vec());
        let entry = CopiedLogEntry { webhook, event, kind, sequence, ended_ms, summary };
        Ok((kind != DeliveryKind::Dead).then_some(CopiedEntry::LogEntry(entry)))
    })
}

pub(super) fn log_checks(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, LOG_CHECKS, after, |webhook, at_ms| {
        Ok(Some(CopiedEntry::LogCheck { webhook: webhook.to_owned(), at_ms }))
    })
}

pub(super) fn hours(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, HOURS, after, |(webhook, hour), (delivered, failed)| {
        Ok(Some(CopiedEntry::Hour { webhook: webhook.to_owned(), hour, delivered, failed }))
    })
}

pub(super) fn recoveries(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, RECOVERIES, after, |(webhook, id), state| {
        let recovery = recovery_states::decode(id, state)?;
        Ok(Some(CopiedEntry::Recovery { webhook: webhook.to_owned(), recovery }))
    })
}

pub(super) fn dead_letters(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    let log = transaction.open_table(DELIVERY_LOG).map_err(store_error)?;
    read_rows(transaction, DEAD_LETTERS, after, |(webhook, event), letter| {
        let (died_ms, attempts_made, reason, body, sealed) = letter;
        let logged = log.get((webhook, event)).map_err(store_error)?;
        let (_, sequence, _, summary) = logged.as_ref().map(|entry| entry.value()).ok_or_else(|| {
            StoreErrorKind::Corrupt.with(format!("the dead letter {event} of {webhook} is not in its log"))
        })?;
        Ok(Some(CopiedEntry::DeadLetter(CopiedDeadLetter {
            webhook: webhook.to_owned(),
            event: event.to_owned(),
            died_ms,
            attempts_made,
            // As Redis stores it.
            reason: reason.replace('\n', " "),
            body: body.to_vec(),
            sealed: sealed.map(<[u8]>::to_vec),
            sequence,
            summary: summary.to_vec(),
        })))
    })
}

pub(super) fn quarantine(transaction: &ReadTransaction, after: Option<&[u8]>) -> Result<TablePage> {
    read_rows(transaction, QUARANTINE, after, |version, (bytes, reason)| {
        let (version, bytes, reason) = (Version::from_u64(version), bytes.to_vec(), reason.replace('\n', " "));
        Ok(Some(CopiedEntry::Quarantined { version, bytes, reason }))
    })
}

//! Writing the queues of another store into an embedded store. Each write can be repeated.

use gatepost_domain::time::Timestamp;
use redb::WriteTransaction;

use super::dead_letters;
use super::deliveries::{Delivery, replace_delivery};
use super::delivery_log::{self, EndedDelivery};
use super::errors::store_error;
use super::recovery_states;
use super::tables::{
    ATTEMPTS, DEAD_AGES, DEAD_BY_TIME, DEAD_LETTERS, DEAD_SEALED, EVENTS, FAILURES, HELD, HOURS, LOG_CHECKS,
    QUARANTINE, RUNNING_RECOVERIES,
};
use crate::copied_entry::{CopiedDeadLetter, CopiedDelivery, CopiedEntry, CopiedLogEntry};
use crate::error::{Result, StoreErrorKind};
use crate::ops::{DeliveryKind, RawRecovery, RecoveryStatus};

/// Writes an entry of the queues.
pub(super) fn write(transaction: &WriteTransaction, entry: &CopiedEntry) -> Result<()> {
    macro_rules! insert {
        ($table:ident, $key:expr, $value:expr) => {
            transaction.open_table($table).map_err(store_error)?.insert($key, $value).map(drop).map_err(store_error)
        };
    }
    match entry {
        CopiedEntry::EventBody { event, deliveries_left, body } => {
            insert!(EVENTS, event.as_str(), (*deliveries_left, body.as_slice()))
        }
        CopiedEntry::Delivery(delivery) => write_delivery(transaction, delivery),
        CopiedEntry::Hold { webhook, until_ms } => insert!(HELD, webhook.as_str(), *until_ms),
        CopiedEntry::Failures { webhook, failures, first_ms, refused_ms, held_ms } => {
            insert!(FAILURES, webhook.as_str(), (*failures, *first_ms, *refused_ms, *held_ms))
        }
        CopiedEntry::Attempts { webhook, newest_first } => write_attempts(transaction, webhook, newest_first),
        CopiedEntry::LogEntry(entry) => write_log_entry(transaction, entry),
        CopiedEntry::LogCheck { webhook, at_ms } => insert!(LOG_CHECKS, webhook.as_str(), *at_ms),
        CopiedEntry::Hour { webhook, hour, delivered, failed } => {
            insert!(HOURS, (webhook.as_str(), *hour), (*delivered, *failed))
        }
        CopiedEntry::Recovery { webhook, recovery } => write_recovery(transaction, webhook, recovery),
        CopiedEntry::DeadLetter(letter) => write_dead_letter(transaction, letter),
        CopiedEntry::Quarantined { version, bytes, reason } => {
            insert!(QUARANTINE, version.as_u64(), (bytes.as_slice(), reason.as_str()))
        }
        CopiedEntry::Number { .. }
        | CopiedEntry::Record { .. }
        | CopiedEntry::FirstUse { .. }
        | CopiedEntry::Digest { .. }
        | CopiedEntry::IndexMember { .. }
        | CopiedEntry::Change(_)
        | CopiedEntry::SealedSecret { .. }
        | CopiedEntry::StoredResponse { .. }
        | CopiedEntry::Removal { .. }
        | CopiedEntry::Window(_)
        | CopiedEntry::Usage { .. }
        | CopiedEntry::KeyUsage(_)
        | CopiedEntry::LastUse { .. }
        | CopiedEntry::AccountCount { .. }
        | CopiedEntry::CountingProgress { .. } => {
            Err(StoreErrorKind::Corrupt.with(format!("{} are not in a queue", entry.kind())))
        }
    }
}

fn write_delivery(transaction: &WriteTransaction, copied: &CopiedDelivery) -> Result<()> {
    let (webhook, event) = (copied.webhook.as_str(), copied.event.as_str());
    let delivery = Delivery {
        attempts_made: copied.attempts_made,
        token: copied.token.clone(),
        lease_end_ms: copied.lease_end_ms,
        created_ms: copied.created_ms,
        available_ms: copied.available_ms,
    };
    replace_delivery(transaction, webhook, event, delivery, copied.sequence)?;
    match &copied.last_attempt {
        Some(line) => delivery_log::record_last_attempt(transaction, webhook, event, line),
        None => Ok(()),
    }
}

fn write_attempts(transaction: &WriteTransaction, webhook: &str, newest_first: &[Vec<u8>]) -> Result<()> {
    let mut table = transaction.open_table(ATTEMPTS).map_err(store_error)?;
    for (number, line) in (1..).zip(newest_first.iter().rev()) {
        table.insert((webhook, number), line.as_slice()).map_err(store_error)?;
    }
    Ok(())
}

fn write_log_entry(transaction: &WriteTransaction, entry: &CopiedLogEntry) -> Result<()> {
    let at = Timestamp::from_ms(entry.ended_ms);
    let ended = EndedDelivery { kind: entry.kind, sequence: entry.sequence, at, summary: &entry.summary };
    delivery_log::insert(transaction, &entry.webhook, &entry.event, &ended).map(drop)
}

fn write_recovery(transaction: &WriteTransaction, webhook: &str, recovery: &RawRecovery) -> Result<()> {
    recovery_states::write(transaction, webhook, recovery)?;
    if recovery.status == RecoveryStatus::Running {
        let mut running = transaction.open_table(RUNNING_RECOVERIES).map_err(store_error)?;
        running.insert(webhook, recovery.id.as_str()).map_err(store_error)?;
    }
    Ok(())
}

fn write_dead_letter(transaction: &WriteTransaction, letter: &CopiedDeadLetter) -> Result<()> {
    let (webhook, event, died_ms) = (letter.webhook.as_str(), letter.event.as_str(), letter.died_ms);
    dead_letters::remove(transaction, webhook, event)?;
    let ended = EndedDelivery {
        kind: DeliveryKind::Dead,
        sequence: letter.sequence,
        at: Timestamp::from_ms(died_ms),
        summary: &letter.summary,
    };
    delivery_log::insert(transaction, webhook, event, &ended)?;
    let stored =
        (died_ms, letter.attempts_made, letter.reason.as_str(), letter.body.as_slice(), letter.sealed.as_deref());
    transaction.open_table(DEAD_LETTERS).map_err(store_error)?.insert((webhook, event), stored).map_err(store_error)?;
    let mut by_time = transaction.open_table(DEAD_BY_TIME).map_err(store_error)?;
    by_time.insert((webhook, died_ms, event), ()).map_err(store_error)?;
    let age = (died_ms, webhook, event);
    transaction.open_table(DEAD_AGES).map_err(store_error)?.insert(age, ()).map_err(store_error)?;
    if letter.sealed.is_some() {
        transaction.open_table(DEAD_SEALED).map_err(store_error)?.insert(age, ()).map_err(store_error)?;
    }
    let count = dead_letters::dead_letter_count(transaction, webhook)?;
    dead_letters::set_dead_letter_count(transaction, webhook, count + 1)
}

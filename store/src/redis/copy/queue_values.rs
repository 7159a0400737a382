//! Values of queues as Redis stores them: parsing and formatting.

use gatepost_domain::id::{EventId, RecoveryId};
use gatepost_domain::time::{Timestamp, Version};

use super::values::{first_line, number, text};
use crate::copied_entry::{CopiedDeadLetter, CopiedDelivery, CopiedEntry};
use crate::error::{Result, StoreErrorKind};
use crate::ops::{RawRecovery, RecoveryStatus};
use crate::record_format::format_version;
use crate::redis::queue_reads;

/// The cursor of a recovery at its start.
const NO_CURSOR: &str = "-";

/// Parses the state of a delivery, see `queue.lua`. Sequence and last attempt are stored elsewhere.
pub(super) fn parse_delivery(webhook: &str, event: String, state: &[u8]) -> Result<CopiedDelivery> {
    let state = text(state.to_vec())?;
    let parts: Vec<&str> = state.split(' ').collect();
    let [attempts, lease_end, created, available, token] = parts[..] else {
        return Err(StoreErrorKind::Corrupt.with(format!("the delivery {event} cannot be decoded: {state:?}")));
    };
    Ok(CopiedDelivery {
        webhook: webhook.to_owned(),
        event,
        attempts_made: number(attempts.as_bytes())?,
        token: token.to_owned(),
        lease_end_ms: number(lease_end.as_bytes())?,
        created_ms: number(created.as_bytes())?,
        available_ms: number(available.as_bytes())?,
        sequence: None,
        last_attempt: None,
    })
}

pub(super) fn format_delivery(delivery: &CopiedDelivery) -> String {
    let CopiedDelivery { attempts_made, lease_end_ms, created_ms, available_ms, token, .. } = delivery;
    format!("{attempts_made} {lease_end_ms} {created_ms} {available_ms} {token}")
}

/// Parses a dead letter. Sequence, summary and secret are stored elsewhere.
pub(super) fn parse_dead_letter(webhook: &str, event: String, letter: &[u8]) -> Result<CopiedDeadLetter> {
    let id = EventId::parse(&event).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    let letter = queue_reads::parse_dead_letter(id, letter, None)?;
    Ok(CopiedDeadLetter {
        webhook: webhook.to_owned(),
        event,
        died_ms: letter.died_at.as_ms(),
        attempts_made: letter.attempts_made,
        reason: letter.reason,
        body: letter.body,
        sealed: None,
        sequence: 0,
        summary: Vec::new(),
    })
}

pub(super) fn format_dead_letter(letter: &CopiedDeadLetter) -> Vec<u8> {
    let head = format!("{}\n{}\n{}\n", letter.died_ms, letter.attempts_made, letter.reason);
    [head.as_bytes(), &letter.body].concat()
}

pub(super) fn parse_quarantined(item: &[u8]) -> Result<CopiedEntry> {
    let parsed = queue_reads::parse_quarantined(item);
    let (version, bytes, reason) =
        parsed.ok_or_else(|| StoreErrorKind::Corrupt.with("a quarantined entry cannot be decoded"))??;
    Ok(CopiedEntry::Quarantined { version, bytes, reason })
}

pub(super) fn format_quarantined(version: Version, bytes: &[u8], reason: &str) -> Vec<u8> {
    [format!("{}\n{reason}\n", format_version(version)).as_bytes(), bytes].concat()
}

/// Parses the state of a recovery, see `recovery.lua`.
pub(super) fn parse_recovery(id: &str, state: &[u8]) -> Result<RawRecovery> {
    let (head, request) = first_line(state)?;
    let head = text(head.to_vec())?;
    let parts: Vec<&str> = head.split(' ').collect();
    let [status, created, finished, cursor, recovered, skipped] = parts[..] else {
        return Err(StoreErrorKind::Corrupt.with(format!("the recovery {id} cannot be decoded: {head:?}")));
    };
    let unknown = || StoreErrorKind::Corrupt.with(format!("a recovery has the unknown status {status:?}"));
    let finished_ms = number(finished.as_bytes())?;
    Ok(RawRecovery {
        id: RecoveryId::parse(id).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        status: RecoveryStatus::parse(status).ok_or_else(unknown)?,
        created_at: Timestamp::from_ms(number(created.as_bytes())?),
        finished_at: (finished_ms > 0).then(|| Timestamp::from_ms(finished_ms)),
        cursor: (cursor != NO_CURSOR).then(|| number(cursor.as_bytes())).transpose()?,
        recovered: number(recovered.as_bytes())?,
        skipped: number(skipped.as_bytes())?,
        request: request.to_vec(),
    })
}

pub(super) fn format_recovery(recovery: &RawRecovery) -> Vec<u8> {
    let cursor = recovery.cursor.map_or(NO_CURSOR.to_owned(), |cursor| cursor.to_string());
    let head = format!(
        "{} {} {} {cursor} {} {}\n",
        recovery.status.as_str(),
        recovery.created_at.as_ms(),
        recovery.finished_at.map_or(0, Timestamp::as_ms),
        recovery.recovered,
        recovery.skipped
    );
    [head.as_bytes(), &recovery.request].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_formatted_as_they_are_parsed() {
        for state in ["0 0 1700000000001 1700000000002 ", "3 1700000000004 1700000000001 1700000000004 lt_00x"] {
            let delivery = parse_delivery("wh_00a", "evt_00b".to_owned(), state.as_bytes()).unwrap();
            assert_eq!(format_delivery(&delivery), state);
        }
        for state in ["running 17 0 - 0 0\n{}", "finished 17 18 -3 5 6\n{\"a\":1}"] {
            assert_eq!(format_recovery(&parse_recovery("rec_00a", state.as_bytes()).unwrap()), state.as_bytes());
        }
        let letter = b"17\n10\na reason\n{}\n\0";
        let parsed = parse_dead_letter("wh_00a", "evt_00b".to_owned(), letter).unwrap();
        assert_eq!(format_dead_letter(&parsed), letter);
        let item = b"17-3\na reason\n\n\xff";
        let CopiedEntry::Quarantined { version, bytes, reason } = parse_quarantined(item).unwrap() else {
            panic!("another kind")
        };
        assert_eq!(format_quarantined(version, &bytes, &reason), item);
    }
}

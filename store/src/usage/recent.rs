//! The uses of a key, or of all keys of a group, that gateways add.
//!
//! A value starts with the time of the last use (3 bytes for the hour since the epoch, 3 for the milliseconds in it) and the
//! uses in that hour (5 bytes), numbers big-endian. A record follows for each earlier hour since the last roll-up: twice
//! the uses in an hour; or that and one, and the hours until the next hour with a use, unless that is 1. Records are LEB128
//! numbers.

use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::HOUR_MS;

use super::uses::{Uses, add_to};

const HOUR_BYTES: usize = 3;
const TIME_BYTES: usize = 2 * HOUR_BYTES;
/// Bytes of the last use and the uses in its hour.
pub(super) const HEAD_BYTES: usize = TIME_BYTES + COUNT_BYTES;
const COUNT_BYTES: usize = 5;
/// Uses in an hour are not counted beyond this, as there is no room for them.
const MAX_HOUR_COUNT: u64 = (1 << (8 * COUNT_BYTES)) - 1;

/// Start of a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) last_used: Timestamp,
    /// Uses in the hour of the last use.
    pub(super) count: u64,
}

impl Head {
    fn hour(self) -> u64 {
        self.last_used.as_ms() / HOUR_MS
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + 8);
        for (number, length) in [
            (self.hour(), HOUR_BYTES),
            (self.last_used.as_ms() % HOUR_MS, HOUR_BYTES),
            (self.count.min(MAX_HOUR_COUNT), COUNT_BYTES),
        ] {
            bytes.extend_from_slice(&number.to_be_bytes()[8 - length..]);
        }
        bytes
    }
}

/// Returns a value with more uses, as `add_usage.lua`. What is no value counts as none.
pub(crate) fn add(value: Option<&[u8]>, now: Timestamp, uses: u64) -> Vec<u8> {
    let Some((last, records)) = value.and_then(split) else { return Head { last_used: now, count: uses }.to_bytes() };
    let hour = now.as_ms() / HOUR_MS;
    if hour <= last.hour() {
        // Not in an hour before the last use: another server's clock may have been ahead.
        let last_used = if hour == last.hour() { now } else { last.last_used };
        return [&Head { last_used, count: last.count + uses }.to_bytes(), records].concat();
    }
    let mut value = [&Head { last_used: now, count: uses }.to_bytes(), records].concat();
    // A record that follows others is needed even without uses: they count their hours from it.
    if last.count > 0 || !records.is_empty() {
        let gap = hour - last.hour();
        push_number(&mut value, last.count * 2 + u64::from(gap != 1));
        if gap != 1 {
            push_number(&mut value, gap);
        }
    }
    value
}

/// Splits a value into its start and its records; `None` if it has no start.
pub(super) fn split(value: &[u8]) -> Option<(Head, &[u8])> {
    let (head, records) = value.split_at_checked(HEAD_BYTES)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let ms = number(&head[..HOUR_BYTES]) * HOUR_MS + number(&head[HOUR_BYTES..TIME_BYTES]);
    Some((Head { last_used: Timestamp::from_ms(ms), count: number(&head[TIME_BYTES..]) }, records))
}

/// Adds the uses before the hour of the last use; `None` if the records are none.
pub(super) fn decode_records_into(uses: &mut Uses, head: Head, mut records: &[u8]) -> Option<()> {
    let mut counts_and_gaps = Vec::new();
    while !records.is_empty() {
        let number = take_number(&mut records)?;
        let gap = if number % 2 == 0 { 1 } else { take_number(&mut records)? };
        counts_and_gaps.push((number / 2, gap));
    }
    let mut hour = head.hour();
    for (count, gap) in counts_and_gaps.into_iter().rev() {
        hour = hour.checked_sub(gap)?;
        add_to(uses, hour, count);
    }
    Some(())
}

/// Appends a number in LEB128.
fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Removes a number in LEB128, of at most 56 bits, from the front.
fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..56).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

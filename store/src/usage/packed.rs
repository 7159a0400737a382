//! The uses of one key, or of all keys of a group, as both backends store them.
//!
//! A value starts with the time of the last use (6 bytes, ms) and the uses in the hour of that time (5 bytes), numbers
//! big-endian. Earlier uses follow, if there are any: the length of a block, the block, and a record for each hour that
//! has ended since the block was written. Lengths and records are LEB128 numbers. A record is twice the uses of an hour;
//! or that and one, and the hours until the next hour with a use, unless that is 1. The block contains days, then hours,
//! each as in [`write_series`]; months are kept as their first days.
//!
//! Writers only append (`add_usage.lua` and [`add`]); [`repack`] replaces block and records by a new block.

use std::collections::BTreeMap;

use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::{Grouping, HOUR_MS};

use super::bits::{self, BitReader, BitWriter};
use super::retention::UsageRetention;
use crate::error::{Result, StoreErrorKind};

/// Bytes of the last use and the uses in its hour.
const HEAD_BYTES: usize = TIME_BYTES + COUNT_BYTES;
const TIME_BYTES: usize = 6;
const COUNT_BYTES: usize = 5;
/// Uses in an hour are not counted beyond this, as the head has no room for them.
const MAX_HOUR_COUNT: u64 = (1 << (8 * COUNT_BYTES)) - 1;
/// Uses in any period are not counted beyond this.
const MAX_PERIOD_COUNT: u64 = 1 << 60;
/// Hours, days and months in one value: more are an error.
const MAX_PERIODS: u64 = 20_000;
const HOURS_PER_DAY: u64 = 24;

/// Orders of the codes in a block, by the usual size of the numbers.
mod order {
    pub(super) const RUNS: u32 = 1;
    pub(super) const FIRST: u32 = 16;
    pub(super) const GAP: u32 = 2;
    pub(super) const LENGTH: u32 = 0;
    pub(super) const LEAST: u32 = 4;
}

/// How the numbers of a series are written.
#[derive(Debug, Clone, Copy)]
enum Coding {
    /// All in so many bits: shortest if they are spread evenly.
    Width(u32),
    /// In codes of this order: shortest if few of them are large.
    Order(u32),
}

impl Coding {
    /// Bits of a coding in a block: which one, and its width or order.
    const BITS: u32 = 1 + Self::NUMBER_BITS;
    const NUMBER_BITS: u32 = 6;

    /// Returns the shortest coding of these numbers.
    fn shortest(numbers: impl Iterator<Item = u64> + Clone) -> Self {
        let sum = numbers.clone().fold(0, u64::saturating_add);
        let (count, largest) = (numbers.clone().count() as u64, numbers.clone().max().unwrap_or(0));
        let mean = (sum / count.max(1)).max(1).ilog2();
        let orders = (mean.saturating_sub(2)..=mean + 1).map(Coding::Order);
        let width = Coding::Width(u64::BITS - largest.leading_zeros());
        let bits = |coding: &Self| numbers.clone().map(|number| u64::from(coding.length(number))).sum::<u64>();
        orders.chain([width]).min_by_key(bits).unwrap_or(width)
    }

    fn length(self, number: u64) -> u32 {
        match self {
            Coding::Width(bits) => bits,
            Coding::Order(order) => bits::length(number, order),
        }
    }

    fn to_bits(self) -> u64 {
        match self {
            Coding::Width(bits) => u64::from(bits),
            Coding::Order(order) => 1 << Self::NUMBER_BITS | u64::from(order),
        }
    }

    fn from_bits(bits: u64) -> Self {
        let number = bits as u32 & ((1 << Self::NUMBER_BITS) - 1);
        if bits >> Self::NUMBER_BITS == 0 { Coding::Width(number) } else { Coding::Order(number) }
    }

    fn write(self, writer: &mut BitWriter, number: u64) {
        match self {
            Coding::Width(bits) => writer.write_bits(number, bits),
            Coding::Order(order) => writer.write(number, order),
        }
    }

    fn read(self, reader: &mut BitReader<'_>) -> Option<u64> {
        match self {
            Coding::Width(bits) => reader.read_bits(bits),
            Coding::Order(order) => reader.read(order),
        }
    }
}

/// Uses by the hour in which a period starts, in hours since the epoch.
pub(crate) type Uses = BTreeMap<u64, u64>;

/// Returns a value with more uses, as `add_usage.lua`.
pub(crate) fn add(value: Option<&[u8]>, now: Timestamp, uses: u64) -> Vec<u8> {
    let Some(((last_used, open), tail)) = value.and_then(|value| split(value).ok()) else { return head(now, uses) };
    // Not before the last use: another server's clock may have been ahead.
    let at = last_used.max(now);
    let (hour, ended) = (at.as_ms() / HOUR_MS, last_used.as_ms() / HOUR_MS);
    if hour == ended {
        return [&head(at, open + uses), tail].concat();
    }
    let mut packed = [&head(at, uses), tail].concat();
    // A record that follows others is needed even without uses: they count their hours from it.
    if open > 0 || !tail.is_empty() {
        if tail.is_empty() {
            push_number(&mut packed, 0);
        }
        let gap = hour - ended;
        push_number(&mut packed, open * 2 + u64::from(gap != 1));
        if gap != 1 {
            push_number(&mut packed, gap);
        }
    }
    packed
}

/// Returns the time of the last use.
pub(crate) fn last_used(value: &[u8]) -> Result<Timestamp> {
    Ok(split(value)?.0.0)
}

/// Returns all uses in a value.
pub(super) fn uses(value: &[u8]) -> Result<Uses> {
    let ((last_used, open), tail) = split(value)?;
    let open_hour = last_used.as_ms() / HOUR_MS;
    let mut uses = parse_earlier(tail, open_hour).ok_or_else(|| corrupt("no hours"))?;
    if open > 0 {
        add_to(&mut uses, open_hour, open);
    }
    uses.retain(|_, count| *count > 0);
    Ok(uses)
}

/// Returns the uses in a value as they are kept at a time: older ones by the day and by the month.
pub(crate) fn kept_uses(value: &[u8], retention: UsageRetention, now: Timestamp) -> Result<Uses> {
    let mut kept = Uses::new();
    for (hour, count) in uses(value)? {
        if let Some((_, start)) = retention.period(at_hour(hour), now) {
            add_to(&mut kept, start.as_ms() / HOUR_MS, count);
        }
    }
    Ok(kept)
}

/// Returns the value with the uses that are kept at a time, in one block.
pub(crate) fn repack(value: &[u8], retention: UsageRetention, now: Timestamp) -> Result<Vec<u8>> {
    let ((last_used, mut open), _) = split(value)?;
    let open_hour = last_used.as_ms() / HOUR_MS;
    let (mut days, mut hours) = (Uses::new(), Uses::new());
    for (hour, count) in uses(value)? {
        let count = if hour == open_hour { count - open } else { count };
        match retention.period(at_hour(hour), now) {
            Some((Grouping::Hour, _)) if count > 0 => add_to(&mut hours, hour, count),
            Some((Grouping::Day | Grouping::Month, start)) if count > 0 => {
                add_to(&mut days, start.as_ms() / HOUR_MS / HOURS_PER_DAY, count);
            }
            None if hour == open_hour => open = 0,
            _ => {}
        }
    }
    let mut packed = head(last_used, open);
    if !days.is_empty() || !hours.is_empty() {
        let mut writer = BitWriter::default();
        write_series(&mut writer, &days);
        write_series(&mut writer, &hours);
        let block = writer.into_bytes();
        push_number(&mut packed, block.len() as u64);
        packed.extend(block);
    }
    Ok(packed)
}

pub(super) fn at_hour(hour: u64) -> Timestamp {
    Timestamp::from_ms(hour.saturating_mul(HOUR_MS))
}

fn corrupt(what: &'static str) -> crate::error::StoreError {
    StoreErrorKind::Corrupt.with(format!("the uses of a key have {what}"))
}

fn head(last_used: Timestamp, uses: u64) -> Vec<u8> {
    let uses = uses.min(MAX_HOUR_COUNT).to_be_bytes();
    let mut head = Vec::with_capacity(HEAD_BYTES + 8);
    head.extend_from_slice(&last_used.as_ms().to_be_bytes()[8 - TIME_BYTES..]);
    head.extend_from_slice(&uses[8 - COUNT_BYTES..]);
    head
}

/// Splits a value into its last use with the uses in that hour, and the rest.
fn split(value: &[u8]) -> Result<((Timestamp, u64), &[u8])> {
    let (head, tail) = value.split_at_checked(HEAD_BYTES).ok_or_else(|| corrupt("no last use"))?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (time, uses) = head.split_at(TIME_BYTES);
    Ok(((Timestamp::from_ms(number(time)), number(uses)), tail))
}

fn parse_earlier(tail: &[u8], open_hour: u64) -> Option<Uses> {
    let (mut uses, mut rest) = (Uses::new(), tail);
    if rest.is_empty() {
        return Some(uses);
    }
    let length = usize::try_from(take_number(&mut rest)?).ok()?;
    let (block, mut rest) = rest.split_at_checked(length)?;
    if !block.is_empty() {
        let mut reader = BitReader::new(block);
        for (day, count) in read_series(&mut reader)? {
            add_to(&mut uses, day.checked_mul(HOURS_PER_DAY)?, count);
        }
        for (hour, count) in read_series(&mut reader)? {
            add_to(&mut uses, hour, count);
        }
    }
    let mut records = Vec::new();
    while !rest.is_empty() {
        let number = take_number(&mut rest)?;
        let gap = if number % 2 == 0 { 1 } else { take_number(&mut rest)? };
        records.push((number / 2, gap));
    }
    let mut hour = open_hour;
    for (count, gap) in records.into_iter().rev() {
        hour = hour.checked_sub(gap)?;
        add_to(&mut uses, hour, count);
    }
    Some(uses)
}

fn add_to(uses: &mut Uses, hour: u64, count: u64) {
    let sum = uses.entry(hour).or_insert(0);
    *sum = sum.saturating_add(count).min(MAX_PERIOD_COUNT);
}

/// Writes uses of days or hours: the runs of those that follow each other, then the counts, less the least of them.
fn write_series(writer: &mut BitWriter, uses: &Uses) {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for index in uses.keys() {
        match runs.last_mut() {
            Some((start, length)) if *start + *length == *index => *length += 1,
            _ => runs.push((*index, 1)),
        }
    }
    writer.write(runs.len() as u64, order::RUNS);
    let mut next = 0;
    for (start, length) in &runs {
        writer.write(start - next, if next == 0 { order::FIRST } else { order::GAP });
        writer.write(length - 1, order::LENGTH);
        next = start + length;
    }
    let Some(least) = uses.values().min() else { return };
    let coding = Coding::shortest(uses.values().map(|count| count - least));
    writer.write(*least, order::LEAST);
    writer.write_bits(coding.to_bits(), Coding::BITS);
    uses.values().for_each(|count| coding.write(writer, count - least));
}

fn read_series(reader: &mut BitReader<'_>) -> Option<Uses> {
    let runs = reader.read(order::RUNS)?;
    let (mut indexes, mut next) = (Vec::new(), 0u64);
    for _ in 0..runs {
        let start = next.checked_add(reader.read(if next == 0 { order::FIRST } else { order::GAP })?)?;
        let length = reader.read(order::LENGTH)?.checked_add(1)?;
        if length > MAX_PERIODS - indexes.len() as u64 {
            return None;
        }
        next = start.checked_add(length)?;
        indexes.extend(start..next);
    }
    if indexes.is_empty() {
        return Some(Uses::new());
    }
    let (least, coding) = (reader.read(order::LEAST)?, Coding::from_bits(reader.read_bits(Coding::BITS)?));
    indexes.into_iter().map(|index| Some((index, least.checked_add(coding.read(reader)?)?))).collect()
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

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const START_MS: u64 = 1_790_000_000_000;
    /// Hours between two roll-ups.
    const ROLL_UP_HOURS: u64 = 6;

    /// Adds uses in each of these hours, with roll-ups.
    fn filled(hours: impl Iterator<Item = (u64, u64)>) -> Vec<u8> {
        let (mut value, mut rolled_up) = (None, 0);
        for (hour, uses) in hours {
            let now = Timestamp::from_ms(START_MS + hour * HOUR_MS);
            if hour - rolled_up >= ROLL_UP_HOURS {
                rolled_up = hour;
                value = value.map(|value: Vec<u8>| repack(&value, UsageRetention::DEFAULT, now).unwrap());
            }
            value = Some(add(value.as_deref(), now, uses));
        }
        value.unwrap()
    }

    #[test]
    fn uses_stay_as_they_were_counted_in_whatever_order_they_come_and_are_packed() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..200 {
            let (mut ms, mut value, mut model) = (START_MS, None, Uses::new());
            let longest = [HOUR_MS / 4, 3 * HOUR_MS, 400 * HOUR_MS][rng.random_range(0..3)];
            for _ in 0..rng.random_range(1..200) {
                ms += rng.random_range(0..longest);
                let bits = rng.random_range(1..30);
                let uses = rng.random_range(0..1u64 << bits);
                value = Some(add(value.as_deref(), Timestamp::from_ms(ms), uses));
                *model.entry(ms / HOUR_MS).or_default() += uses;
                if rng.random_range(0..10) == 0 {
                    let now = Timestamp::from_ms(ms);
                    value = value.map(|value| repack(&value, UsageRetention::DEFAULT, now).unwrap());
                }
            }
            let (value, now) = (value.unwrap(), Timestamp::from_ms(ms));
            let mut expected = Uses::new();
            for (hour, count) in model.into_iter().filter(|(_, count)| *count > 0) {
                if let Some((_, start)) = UsageRetention::DEFAULT.period(at_hour(hour), now) {
                    *expected.entry(start.as_ms() / HOUR_MS).or_default() += count;
                }
            }
            assert_eq!(kept_uses(&value, UsageRetention::DEFAULT, now).unwrap(), expected);
            assert_eq!(last_used(&value).unwrap(), now);
            let repacked = repack(&value, UsageRetention::DEFAULT, now).unwrap();
            assert_eq!(kept_uses(&repacked, UsageRetention::DEFAULT, now).unwrap(), expected);
            assert_eq!(repack(&repacked, UsageRetention::DEFAULT, now).unwrap(), repacked);
        }
    }

    #[test]
    fn a_use_before_the_last_one_counts_in_the_hour_of_that() {
        let (now, later) = (Timestamp::from_ms(START_MS), Timestamp::from_ms(START_MS + 5 * HOUR_MS));
        let value = add(Some(&add(None, later, 3)), now, 4);
        assert_eq!(
            (last_used(&value).unwrap(), uses(&value).unwrap()),
            (later, Uses::from([(later.as_ms() / HOUR_MS, 7)]))
        );
    }

    #[test]
    fn a_key_takes_few_bytes_for_ninety_days() {
        let mut rng = StdRng::seed_from_u64(2);
        let hours = 0..90 * HOURS_PER_DAY;
        let varied = filled(hours.clone().map(|hour| (hour, rng.random_range(10..=100)))).len();
        let constant = filled(hours.map(|hour| (hour, 1))).len();
        let once = filled([(0, 1)].into_iter()).len();
        assert!(varied <= 330 && constant <= 90 && once == HEAD_BYTES, "{varied} {constant} {once}");
    }

    #[test]
    fn bytes_that_are_no_value_are_refused_or_read_as_one() {
        let mut rng = StdRng::seed_from_u64(3);
        let good = filled((0..400).map(|hour| (hour * 3, hour)));
        let now = Timestamp::from_ms(START_MS + 2000 * HOUR_MS);
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            bytes.truncate(rng.random_range(0..=bytes.len()));
            if let Ok(repacked) = repack(&bytes, UsageRetention::DEFAULT, now) {
                uses(&repacked).unwrap();
            }
            add(Some(&bytes), now, 1);
        }
    }
}

//! The uses of a key, or of all keys of a group, that were rolled up: days, then hours, each as in [`write_series`]. Months
//! are kept as their first days.

use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::{Grouping, HOUR_MS};

use super::bits::{self, BitReader, BitWriter};
use super::retention::UsageRetention;
use super::uses::{Uses, add_to, at_hour};

/// Hours, days and months of one key: more are an error.
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

/// Returns these uses as they are kept at a time, or nothing if there are none.
pub(super) fn encode(uses: &Uses, retention: UsageRetention, now: Timestamp) -> Vec<u8> {
    let (mut days, mut hours) = (Uses::new(), Uses::new());
    for (hour, count) in uses.iter().filter(|(_, count)| **count > 0) {
        match retention.period(at_hour(*hour), now) {
            Some((Grouping::Hour, _)) => add_to(&mut hours, *hour, *count),
            Some((Grouping::Day | Grouping::Month, start)) => {
                add_to(&mut days, start.as_ms() / HOUR_MS / HOURS_PER_DAY, *count);
            }
            None => {}
        }
    }
    if days.is_empty() && hours.is_empty() {
        return Vec::new();
    }
    let mut writer = BitWriter::default();
    write_series(&mut writer, &days);
    write_series(&mut writer, &hours);
    writer.into_bytes()
}

/// Adds all uses of a value; `None` if it is not one.
pub(super) fn decode_into(uses: &mut Uses, past: &[u8]) -> Option<()> {
    if past.is_empty() {
        return Some(());
    }
    let mut reader = BitReader::new(past);
    for (day, count) in read_series(&mut reader)? {
        add_to(uses, day.checked_mul(HOURS_PER_DAY)?, count);
    }
    for (hour, count) in read_series(&mut reader)? {
        add_to(uses, hour, count);
    }
    Some(())
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

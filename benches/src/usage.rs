//! `usage`: what the counts of keys' uses cost Redis, next to those in the format of 0.1.0.

use std::ops::RangeInclusive;

use clap::Args;
use gatepost_domain::id::KeyId;
use gatepost_domain::partition::Partition;
use gatepost_store::{CellStore, Format, os_rng};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use serde_json::json;

use crate::findings::Findings;
use crate::redis_meter::{RedisReading, data_bytes};
use crate::report::{self, NoiseMonitor, Table};
use crate::statistics::{Ratio, median};
use crate::store_fixture::StoreFixture;

#[derive(Debug, Args)]
pub(crate) struct UsageOptions {
    /// Fewer keys and one round
    #[arg(long)]
    quick: bool,
}

const HOUR_MS: i64 = 3_600_000;
const DAYS: usize = 90;
const HOURS: usize = DAYS * 24;
/// Hours between two roll-ups, as in a deliverer.
const ROLL_UP_HOURS: usize = 6;
/// Keys that a gateway adds at once: those that it let through in half a second.
const KEYS_IN_FLUSH: usize = 1500;
/// Uses in an hour of a key that is always used: one, and many that vary.
const USES_IN_HOUR: [RangeInclusive<u64>; 2] = [1..=1, 10..=100];
const FORMATS: [(&str, Format); 2] = [("now", Format::LATEST), ("0.1.0", Format::FIRST)];

#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: usize,
    /// Keys that are used once, by which the time of Redis is measured.
    keys_used_once: usize,
    /// Keys that are used in every hour of 90 days.
    keys_always_used: usize,
}

const QUICK: Plan = Plan { rounds: 1, keys_used_once: 60_000, keys_always_used: 600 };
const FULL: Plan = Plan { rounds: 5, keys_used_once: 240_000, keys_always_used: 2000 };

/// What Redis took in one round. Times are in µs for a key that is flushed.
#[derive(Debug, Clone, Copy, Serialize)]
struct Measured {
    /// Keys that were never used before.
    first_us: f64,
    /// The same keys later in the hour.
    again_us: f64,
    /// The same keys in the next hour.
    next_hour_us: f64,
    /// Bytes of a key that was used once.
    once_bytes: f64,
    /// Keys in every hour of 90 days, with the roll-ups.
    always_us: f64,
    /// Bytes of a key that was used once in every hour of 90 days.
    always_bytes: f64,
    /// Bytes of a key that was used 10 to 100 times in every hour.
    often_bytes: f64,
}

type ReadFigure = fn(&Measured) -> f64;

const FIGURES: [(&str, ReadFigure); 7] = [
    ("µs a key, first use", |measured| measured.first_us),
    ("again in the hour", |measured| measured.again_us),
    ("in the next hour", |measured| measured.next_hour_us),
    ("in every hour, with roll-ups", |measured| measured.always_us),
    ("bytes, used once", |measured| measured.once_bytes),
    ("once every hour for 90 days", |measured| measured.always_bytes),
    ("10 to 100 times", |measured| measured.often_bytes),
];

/// Measures both formats in turns.
pub(crate) async fn run(options: &UsageOptions) -> anyhow::Result<()> {
    let plan = if options.quick { QUICK } else { FULL };
    let monitor = NoiseMonitor::start();
    let mut rounds: [Vec<Measured>; 2] = Default::default();
    let bar = report::progress_bar(plan.rounds * FORMATS.len());
    for _ in 0..plan.rounds {
        for (rounds, (_, format)) in rounds.iter_mut().zip(FORMATS) {
            rounds.push(measure(format, plan).await?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    findings(&rounds).report("usage", None, &monitor)
}

async fn measure(format: Format, plan: Plan) -> anyhow::Result<Measured> {
    let fixture = StoreFixture::start_in(format).await?;
    fixture.pin_to_load_core()?;
    let keys = generate_keys(plan.keys_used_once);
    let empty_bytes = data_bytes(&fixture.redis)?;
    let flush_all = async |skip_ms| -> anyhow::Result<f64> {
        fixture.clock_skew.add(skip_ms);
        let before = RedisReading::of(&fixture.redis)?;
        flush(&fixture, &keys, || 1).await?;
        Ok(RedisReading::of(&fixture.redis)?.cpu_s_since(before) * 1e6 / keys.len() as f64)
    };
    let first_us = flush_all(0).await?;
    let once_bytes = (data_bytes(&fixture.redis)? - empty_bytes) / keys.len() as f64;
    let (again_us, next_hour_us) = (flush_all(0).await?, flush_all(HOUR_MS).await?);
    let [once, often] = USES_IN_HOUR;
    let (_, always_bytes) = measure_always_used(format, plan, once).await?;
    let (always_us, often_bytes) = measure_always_used(format, plan, often).await?;
    Ok(Measured { first_us, again_us, next_hour_us, once_bytes, always_us, always_bytes, often_bytes })
}

async fn measure_always_used(format: Format, plan: Plan, uses: RangeInclusive<u64>) -> anyhow::Result<(f64, f64)> {
    let fixture = StoreFixture::start_in(format).await?;
    fixture.pin_to_load_core()?;
    let keys = generate_keys(plan.keys_always_used);
    // The last hour is the current one: Redis deletes old counters of the first format by its own clock.
    fixture.clock_skew.add(-HOUR_MS * HOURS as i64);
    let (empty_bytes, before) = (data_bytes(&fixture.redis)?, RedisReading::of(&fixture.redis)?);
    let mut rng = StdRng::seed_from_u64(1);
    for hour in 0..HOURS {
        flush(&fixture, &keys, || rng.random_range(uses.clone())).await?;
        fixture.clock_skew.add(HOUR_MS);
        if hour % ROLL_UP_HOURS == 0 {
            roll_up(&fixture.store, &fixture).await?;
        }
    }
    let cpu_s = RedisReading::of(&fixture.redis)?.cpu_s_since(before);
    let flushes = (keys.len() * HOURS) as f64;
    Ok((cpu_s * 1e6 / flushes, (data_bytes(&fixture.redis)? - empty_bytes) / keys.len() as f64))
}

fn generate_keys(count: usize) -> Vec<KeyId> {
    let mut rng = os_rng();
    (0..count).map(|_| KeyId::generate_in(Partition::generate(&mut rng), &mut rng)).collect()
}

async fn flush(fixture: &StoreFixture, keys: &[KeyId], mut uses: impl FnMut() -> u64) -> anyhow::Result<()> {
    for keys in keys.chunks(KEYS_IN_FLUSH) {
        let usage: Vec<_> = keys.iter().map(|key| (key.clone(), uses())).collect();
        fixture.store.add_usage(&fixture.project.id, &usage).await?;
    }
    Ok(())
}

async fn roll_up(store: &CellStore, fixture: &StoreFixture) -> anyhow::Result<()> {
    let mut position = None;
    loop {
        position = store.roll_up_usage(&fixture.project.id, position).await?;
        if position.is_none() {
            return Ok(());
        }
    }
}

fn findings(rounds: &[Vec<Measured>; 2]) -> Findings {
    let columns: Vec<&str> = ["format of"].into_iter().chain(FIGURES.map(|(name, _)| name)).collect();
    let mut table = Table::with_columns(&columns);
    let mut json = serde_json::Map::new();
    for (rounds, (name, _)) in rounds.iter().zip(FORMATS) {
        let figure = |read: ReadFigure| format!("{:.2}", median(&rounds.iter().map(read).collect::<Vec<_>>()));
        table.add_row([vec![name.to_owned()], FIGURES.map(|(_, read)| figure(read)).to_vec()].concat());
        json.insert(name.to_owned(), json!(rounds));
    }
    let ratio = |read: ReadFigure| {
        let [now, earlier] = [0, 1].map(|index| rounds[index].iter().map(read).collect::<Vec<_>>());
        Ratio::paired(&now, &earlier).to_string()
    };
    table.add_row([vec!["ratio [95 %]".to_owned()], FIGURES.map(|(_, read)| ratio(read)).to_vec()].concat());
    Findings::of_table("Usage on Redis", table, json.into())
}

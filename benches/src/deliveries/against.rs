//! The deliverer next to that of an earlier release, in rounds: deliveries per second, and memory with many due ones.

use std::path::Path;

use serde_json::json;

use super::backlog::{self, DueMemory};
use super::{DelivererFixture, DeliveryParams};
use crate::findings::Findings;
use crate::report::{self, Table};
use crate::statistics::{Ratio, median};

/// Numbers of webhooks.
const WEBHOOKS: [usize; 2] = [1, 100];
/// Rounds in which both programs have many due deliveries.
const MEMORY_ROUNDS: usize = 3;

const THROUGHPUT: &str = "throughput";
const BACKLOG: &str = "backlog";
const MEASURES: [&str; 2] = [THROUGHPUT, BACKLOG];

type JsonObject = serde_json::Map<String, serde_json::Value>;

/// Measures both programs on stores in the format of the earlier one: throughput, backlog, or both.
pub(super) async fn run(params: DeliveryParams, earlier: &Path, name: Option<&str>) -> anyhow::Result<Findings> {
    anyhow::ensure!(
        name.is_none_or(|name| MEASURES.contains(&name)),
        "an earlier release is compared in throughput or backlog only"
    );
    let is_selected = |measure: &str| name.is_none_or(|name| name == measure);
    let mut json = serde_json::Map::new();
    let mut tables = Vec::new();
    if is_selected(THROUGHPUT) {
        let table = throughput(params, earlier, &mut json).await?;
        tables.push(("Deliveries a second, next to the earlier release".to_owned(), table));
    }
    if is_selected(BACKLOG) {
        let table = memory(params, earlier, &mut json).await?;
        tables.push(("Memory with due deliveries, next to the earlier release".to_owned(), table));
    }
    Ok(Findings { tables, json: json.into(), ..Findings::default() })
}

async fn throughput(params: DeliveryParams, earlier: &Path, json: &mut JsonObject) -> anyhow::Result<Table> {
    let mut table = Table::with_columns(&["webhooks", "deliveries/s, earlier", "deliveries/s, now", "ratio [95 %]"]);
    let bar = report::progress_bar(params.paired_rounds * WEBHOOKS.len());
    for webhooks in WEBHOOKS {
        let (mut before, mut now) = (Vec::new(), Vec::new());
        for round in 0..params.paired_rounds {
            for is_earlier in [round % 2 == 0, round % 2 != 0] {
                let (program, figures) = if is_earlier { (Some(earlier), &mut before) } else { (None, &mut now) };
                figures.push(deliveries_per_second(webhooks, params.deliveries, program).await?);
            }
            bar.inc(1);
        }
        let ratio = Ratio::paired(&now, &before);
        let figures = [median(&before), median(&now)].map(|rate| format!("{rate:.0}"));
        table.add_row([vec![webhooks.to_string()], figures.to_vec(), vec![ratio.to_string()]].concat());
        json.insert(format!("{webhooks} webhooks"), json!({"ratio": ratio, "earlier": before, "now": now}));
    }
    bar.finish_and_clear();
    Ok(table)
}

async fn deliveries_per_second(webhooks: usize, deliveries: usize, program: Option<&Path>) -> anyhow::Result<f64> {
    let fixture = DelivererFixture::start_in_first_format(webhooks).await?;
    let events = deliveries / webhooks;
    fixture.store_fixture.create_keys(events).await?;
    let _deliverer = fixture.start_program(program)?;
    let count = (events * webhooks) as u64;
    fixture.receiver.await_count(count).await?;
    Ok(count as f64 / fixture.receiver.elapsed().as_secs_f64())
}

/// Measures both programs in each round, and reports the medians.
async fn memory(params: DeliveryParams, earlier: &Path, json: &mut JsonObject) -> anyhow::Result<Table> {
    let mut table = Table::with_columns(&["deliverer", "due", "before", "then"]);
    let programs = [("earlier", Some(earlier)), ("now", None)];
    let mut measured: [Vec<DueMemory>; 2] = [Vec::new(), Vec::new()];
    let bar = report::progress_bar(MEMORY_ROUNDS);
    for _ in 0..MEMORY_ROUNDS {
        for ((_, program), rounds) in programs.iter().zip(&mut measured) {
            let fixture = DelivererFixture::start_in_first_format(0).await?;
            rounds.push(backlog::fan_out_due(fixture, params, *program).await?);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    for ((name, _), rounds) in programs.iter().zip(&measured) {
        let bytes = |read: fn(&DueMemory) -> u64| rounds.iter().map(|round| read(round) as f64).collect::<Vec<_>>();
        let (idle, then) = (bytes(|round| round.idle), bytes(|round| round.resident));
        let mib = |values: &[f64]| format!("{:.1} MiB", median(values) / f64::from(1 << 20));
        let due = median(&bytes(|round| round.due));
        table.add_row(vec![(*name).to_owned(), format!("{due:.0}"), mib(&idle), mib(&then)]);
        json.insert(format!("memory, {name}"), json!({"due": due, "idle_bytes": idle, "bytes": then}));
    }
    Ok(table)
}

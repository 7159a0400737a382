//! The deliverer next to that of an earlier release, in rounds: deliveries per second, and memory with many due ones.

use std::path::Path;

use serde_json::json;

use super::{DelivererFixture, DeliveryParams, backlog};
use crate::findings::Findings;
use crate::report::{self, Table};
use crate::statistics::{MedianRange, Ratio};

/// Numbers of webhooks.
const WEBHOOKS: [usize; 2] = [1, 100];

/// Measures both programs on stores in the format of the earlier one.
pub(super) async fn run(params: DeliveryParams, earlier: &Path) -> anyhow::Result<Findings> {
    let mut rates = Table::with_columns(&["webhooks", "deliveries/s, earlier", "deliveries/s, now", "ratio [95 %]"]);
    let mut json = serde_json::Map::new();
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
        let (ratio, median) = (Ratio::paired(&now, &before), |rates: &[f64]| MedianRange::from_values(rates).median);
        let figures = [median(&before), median(&now)].map(|rate| format!("{rate:.0}"));
        rates.add_row([vec![webhooks.to_string()], figures.to_vec(), vec![ratio.to_string()]].concat());
        json.insert(format!("{webhooks} webhooks"), json!({"ratio": ratio, "earlier": before, "now": now}));
    }
    bar.finish_and_clear();
    let memory = memory(params, earlier, &mut json).await?;
    let tables = vec![
        ("Deliveries a second, next to the earlier release".to_owned(), rates),
        ("Memory with due deliveries, next to the earlier release".to_owned(), memory),
    ];
    Ok(Findings { tables, json: json.into(), ..Findings::default() })
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

async fn memory(
    params: DeliveryParams,
    earlier: &Path,
    json: &mut serde_json::Map<String, serde_json::Value>,
) -> anyhow::Result<Table> {
    let mut table = Table::with_columns(&["deliverer", "due", "before", "then"]);
    for (name, program) in [("earlier", Some(earlier)), ("now", None)] {
        let memory = backlog::fan_out_due(DelivererFixture::start_in_first_format(0).await?, params, program).await?;
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        table.add_row(vec![name.to_owned(), memory.due.to_string(), mib(memory.idle), mib(memory.resident)]);
        json.insert(format!("memory, {name}"), json!({"due": memory.due, "bytes": memory.resident}));
    }
    Ok(table)
}

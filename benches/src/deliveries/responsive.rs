//! Latency from an event to its delivery: one at a time, and at half of the maximum rate.

use serde_json::json;

use super::{DelivererFixture, DeliveryParams, latency_table};
use crate::findings::Findings;

pub(super) async fn run(params: DeliveryParams) -> anyhow::Result<Findings> {
    let fixture = DelivererFixture::start(1).await?;
    let events = params.deliveries / 10;
    fixture.store_fixture.create_keys(events).await?;
    let _deliverer = fixture.start_deliverer()?;
    fixture.receiver.await_count(events as u64).await?;
    let max_rate = events as f64 / fixture.receiver.elapsed().as_secs_f64();

    fixture.receiver.reset();
    for number in 0..params.single_events {
        fixture.create_event().await?;
        fixture.receiver.await_count(number as u64 + 1).await?;
    }
    let idle_latencies = fixture.receiver.latencies()?;

    fixture.receiver.reset();
    let rate = max_rate / 2.0;
    let duration = params.duration / 2;
    fixture.create_events_at_rate(rate, duration).await?;
    fixture.receiver.await_count((duration.as_secs_f64() * rate) as u64).await?;
    let half_rate_latencies = fixture.receiver.latencies()?;

    let mut table = latency_table("event to receipt");
    let mut json = serde_json::Map::new();
    for (name, latency) in [
        ("one by one".to_owned(), idle_latencies),
        (format!("{rate:.0} a second, half of the most"), half_rate_latencies),
    ] {
        let ms = [latency.value_at_quantile(0.5), latency.value_at_quantile(0.99), latency.max()];
        let ms = ms.map(|us| us as f64 / 1000.0);
        let mut row = vec![name.clone(), latency.len().to_string()];
        row.extend(ms.map(|ms| format!("{ms:.1} ms")));
        table.add_row(row);
        json.insert(name, json!({"p50_p99_max_ms": ms}));
    }
    Ok(Findings::of_table("How soon an event is received", table, json.into()))
}

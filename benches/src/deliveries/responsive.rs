//! How soon an event is received: one by one, and at half of what the deliverer can do.

use serde_json::json;

use super::{Extent, Scene, latency_table};
use crate::scenarios::Findings;

pub(super) async fn run(extent: Extent) -> anyhow::Result<Findings> {
    let scene = Scene::start(1).await?;
    let events = extent.deliveries / 10;
    scene.site.keys(events).await?;
    let _deliverer = scene.deliverer()?;
    scene.receiver.await_count(events as u64).await?;
    let most = events as f64 / scene.receiver.took().as_secs_f64();

    scene.receiver.forget();
    for number in 0..extent.singles {
        scene.event().await?;
        scene.receiver.await_count(number as u64 + 1).await?;
    }
    let idle = scene.receiver.latencies()?;

    scene.receiver.forget();
    let rate = most / 2.0;
    let span = extent.span / 2;
    scene.events_at(rate, span).await?;
    scene.receiver.await_count((span.as_secs_f64() * rate) as u64).await?;
    let half = scene.receiver.latencies()?;

    let mut table = latency_table("event to receipt");
    let mut json = serde_json::Map::new();
    for (name, latency) in [("one by one".to_owned(), idle), (format!("{rate:.0} a second, half of the most"), half)] {
        let ms = [latency.value_at_quantile(0.5), latency.value_at_quantile(0.99), latency.max()];
        let ms = ms.map(|us| us as f64 / 1000.0);
        let mut row = vec![name.clone(), latency.len().to_string()];
        row.extend(ms.map(|ms| format!("{ms:.1} ms")));
        table.row(row);
        json.insert(name, json!({"p50_p99_max_ms": ms}));
    }
    Ok(Findings { tables: vec![("How soon an event is received".to_owned(), table)], json: json.into() })
}

//! One webhook that hangs, beside 20 that answer at once.

use serde_json::json;

use super::{Extent, Scene, latency_table, receiver};
use crate::scenarios::Findings;

const HEALTHY: usize = 20;
/// Events a second, each for all webhooks.
const RATE: f64 = 50.0;

pub(super) async fn run(extent: Extent) -> anyhow::Result<Findings> {
    let scene = Scene::start(HEALTHY).await?;
    let _deliverer = scene.deliverer()?;
    let mut table = latency_table("event to receipt, 20 healthy webhooks");
    let mut json = serde_json::Map::new();
    for name in ["alone", "beside a hanging one"] {
        if name != "alone" {
            scene.webhook(receiver::HANGING).await?;
        }
        scene.receiver.forget();
        scene.events_at(RATE, extent.span).await?;
        scene.receiver.await_count((extent.span.as_secs_f64() * RATE) as u64 * HEALTHY as u64).await?;
        let latency = scene.receiver.latencies()?;
        let ms = [latency.value_at_quantile(0.5), latency.value_at_quantile(0.99), latency.max()];
        let ms = ms.map(|us| us as f64 / 1000.0);
        let mut row = vec![name.to_owned(), latency.len().to_string()];
        row.extend(ms.map(|ms| format!("{ms:.1} ms")));
        table.row(row);
        json.insert(name.to_owned(), json!({"p50_p99_max_ms": ms}));
    }
    Ok(Findings { tables: vec![("A webhook that hangs".to_owned(), table)], json: json.into() })
}

//! One hanging webhook next to 20 healthy ones.

use serde_json::json;

use super::{DelivererFixture, DeliveryParams, latency_table, receiver};
use crate::findings::Findings;

const HEALTHY_WEBHOOKS: usize = 20;
/// Events per second, each for all webhooks.
const RATE: f64 = 50.0;

pub(super) async fn run(params: DeliveryParams) -> anyhow::Result<Findings> {
    let fixture = DelivererFixture::start(HEALTHY_WEBHOOKS).await?;
    let _deliverer = fixture.start_deliverer()?;
    let mut table = latency_table("event to receipt, 20 healthy webhooks");
    let mut json = serde_json::Map::new();
    for name in ["alone", "beside a hanging one"] {
        if name != "alone" {
            fixture.create_webhook(receiver::HANGING_PATH).await?;
        }
        fixture.receiver.reset();
        fixture.create_events_at_rate(RATE, params.duration).await?;
        fixture.receiver.await_count((params.duration.as_secs_f64() * RATE) as u64 * HEALTHY_WEBHOOKS as u64).await?;
        let latency = fixture.receiver.latencies()?;
        let ms = [latency.value_at_quantile(0.5), latency.value_at_quantile(0.99), latency.max()];
        let ms = ms.map(|us| us as f64 / 1000.0);
        let mut row = vec![name.to_owned(), latency.len().to_string()];
        row.extend(ms.map(|ms| format!("{ms:.1} ms")));
        table.add_row(row);
        json.insert(name.to_owned(), json!({"p50_p99_max_ms": ms}));
    }
    Ok(Findings::of_table("A webhook that hangs", table, json.into()))
}

//! Deliveries per second. All events exist before the deliverer starts.

use serde_json::json;

use super::{DelivererFixture, DeliveryParams};
use crate::findings::Findings;
use crate::report::Table;

/// Numbers of webhooks.
const WEBHOOKS: [usize; 2] = [1, 100];

pub(super) async fn run(params: DeliveryParams) -> anyhow::Result<Findings> {
    let mut table = Table::with_columns(&[
        "webhooks",
        "deliveries",
        "deliveries/s",
        "deliverer, CPU ms for 1,000",
        "Redis, CPU ms for 1,000",
    ]);
    let mut json = serde_json::Map::new();
    for webhooks in WEBHOOKS {
        let fixture = DelivererFixture::start(webhooks).await?;
        let events = params.deliveries / webhooks;
        fixture.store_fixture.create_keys(events).await?;
        let redis_before = crate::machine::process_cpu_time(fixture.store_fixture.redis_pid()?);
        let deliverer = fixture.start_deliverer()?;
        let count = (events * webhooks) as u64;
        fixture.receiver.await_count(count).await?;
        let rate = count as f64 / fixture.receiver.elapsed().as_secs_f64();
        let (deliverer_cpu, redis_cpu) = fixture.cpu_times(&deliverer)?;
        let for_thousand = |cpu: std::time::Duration| cpu.as_secs_f64() * 1e6 / count as f64;
        let (deliverer_ms, redis_ms) = (for_thousand(deliverer_cpu), for_thousand(redis_cpu - redis_before));
        let mut row = vec![webhooks.to_string(), count.to_string()];
        row.extend([rate, deliverer_ms, redis_ms].map(|figure| format!("{figure:.0}")));
        table.add_row(row);
        let figures = json!({"rate": rate, "deliverer_ms": deliverer_ms, "redis_ms": redis_ms});
        json.insert(format!("{webhooks} webhooks"), figures);
    }
    Ok(Findings::of_table("Deliveries a second", table, json.into()))
}

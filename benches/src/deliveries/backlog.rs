//! Memory of pending deliveries: the receivers hang, so that no delivery completes.

use anyhow::bail;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

use super::{DelivererFixture, DeliveryParams, receiver};
use crate::machine;
use crate::report::Table;
use crate::scenarios::Findings;

/// Number of webhooks. Each may have 200,000 pending deliveries.
const WEBHOOKS: usize = 10;
/// Timeout of the fan-out.
const FAN_OUT_TIMEOUT: Duration = Duration::from_secs(600);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(super) async fn run(params: DeliveryParams) -> anyhow::Result<Findings> {
    let fixture = DelivererFixture::start(0).await?;
    for number in 0..WEBHOOKS {
        fixture.create_webhook(&format!("{number}/{}", receiver::HANGING_PATH)).await?;
    }
    fixture.store_fixture.create_keys(params.due_deliveries / WEBHOOKS).await?;
    let before = redis_bytes(&fixture);
    let deliverer = fixture.start_deliverer()?;
    let idle = machine::resident_bytes(deliverer.process.pid());
    let started_at = Instant::now();
    let due = loop {
        let numbers = fixture.store_fixture.store.queue_stats().await?;
        if numbers.fan_out_backlog == 0 {
            break numbers.pending + numbers.leased;
        }
        if started_at.elapsed() > FAN_OUT_TIMEOUT {
            bail!("the fan-out timed out with {} entries left", numbers.fan_out_backlog);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    let elapsed_s = started_at.elapsed().as_secs_f64();
    let resident = machine::resident_bytes(deliverer.process.pid());
    let redis = redis_bytes(&fixture) - before;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut table = Table::with_columns(&["what", "figure"]);
    table.add_row(vec!["deliveries due".to_owned(), due.to_string()]);
    table.add_row(vec!["fan-out, deliveries/s".to_owned(), format!("{:.0}", due as f64 / elapsed_s)]);
    table.add_row(vec!["memory of the deliverer before".to_owned(), format!("{:.1} MiB", mib(idle))]);
    table.add_row(vec!["memory of the deliverer then".to_owned(), format!("{:.1} MiB", mib(resident))]);
    table.add_row(vec!["memory of Redis for each".to_owned(), format!("{:.0} bytes", redis as f64 / due as f64)]);
    let json = json!({"due": due, "fan_out_rate": due as f64 / elapsed_s, "deliverer_bytes": resident,
        "redis_bytes_each": redis as f64 / due as f64});
    Ok(Findings { tables: vec![("Deliveries that are due".to_owned(), table)], json })
}

fn redis_bytes(fixture: &DelivererFixture) -> u64 {
    let info = fixture.store_fixture.redis.redis_cli(&["info", "memory"]);
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or_default()
}

//! Memory of pending deliveries: the receivers hang, so that no delivery completes.

use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

use super::{DelivererFixture, DeliveryParams, receiver};
use crate::findings::Findings;
use crate::machine;
use crate::report::Table;

/// Number of webhooks. Each may have 200,000 pending deliveries.
const WEBHOOKS: usize = 10;
/// Timeout of the fan-out.
const FAN_OUT_TIMEOUT: Duration = Duration::from_secs(600);

/// Memory of a deliverer before and after its webhooks had due deliveries.
pub(super) struct DueMemory {
    pub(super) due: u64,
    pub(super) elapsed: Duration,
    pub(super) idle: u64,
    pub(super) resident: u64,
    pub(super) redis: u64,
}

pub(super) async fn run(params: DeliveryParams) -> anyhow::Result<Findings> {
    let DueMemory { due, elapsed, idle, resident, redis } =
        fan_out_due(DelivererFixture::start(0).await?, params, None).await?;
    let elapsed_s = elapsed.as_secs_f64();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut table = Table::with_columns(&["what", "figure"]);
    table.add_row(vec!["deliveries due".to_owned(), due.to_string()]);
    table.add_row(vec!["fan-out, deliveries/s".to_owned(), format!("{:.0}", due as f64 / elapsed_s)]);
    table.add_row(vec!["memory of the deliverer before".to_owned(), format!("{:.1} MiB", mib(idle))]);
    table.add_row(vec!["memory of the deliverer then".to_owned(), format!("{:.1} MiB", mib(resident))]);
    table.add_row(vec!["memory of Redis for each".to_owned(), format!("{:.0} bytes", redis as f64 / due as f64)]);
    let json = json!({"due": due, "fan_out_rate": due as f64 / elapsed_s, "deliverer_bytes": resident,
        "redis_bytes_each": redis as f64 / due as f64});
    Ok(Findings::of_table("Deliveries that are due", table, json))
}

/// Makes deliveries due that do not end, by a program or by the one that was built together with this one.
pub(super) async fn fan_out_due(
    fixture: DelivererFixture,
    params: DeliveryParams,
    program: Option<&Path>,
) -> anyhow::Result<DueMemory> {
    for number in 0..WEBHOOKS {
        fixture.create_webhook(&format!("{number}/{}", receiver::HANGING_PATH)).await?;
    }
    fixture.store_fixture.create_keys(params.due_deliveries / WEBHOOKS).await?;
    let before = redis_bytes(&fixture);
    let deliverer = fixture.start_program(program)?;
    let idle = machine::resident_bytes(deliverer.process.pid());
    let started_at = Instant::now();
    let due = fixture.wait_for_fan_out(FAN_OUT_TIMEOUT).await?;
    Ok(DueMemory {
        due,
        elapsed: started_at.elapsed(),
        idle,
        resident: machine::resident_bytes(deliverer.process.pid()),
        redis: redis_bytes(&fixture) - before,
    })
}

fn redis_bytes(fixture: &DelivererFixture) -> u64 {
    let info = fixture.store_fixture.redis.redis_cli(&["info", "memory"]);
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or_default()
}

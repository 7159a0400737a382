//! What deliveries that are due cost in memory: receivers hang, so that none of them ends.

use anyhow::bail;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

use super::{Extent, Scene, receiver};
use crate::machine;
use crate::report::Table;
use crate::scenarios::Findings;

/// Webhooks, of which each may have 200,000 deliveries waiting.
const WEBHOOKS: usize = 10;
/// How long the fan-out may take.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn run(extent: Extent) -> anyhow::Result<Findings> {
    let scene = Scene::start(0).await?;
    for number in 0..WEBHOOKS {
        scene.webhook(&format!("{number}/{}", receiver::HANGING)).await?;
    }
    scene.site.keys(extent.due / WEBHOOKS).await?;
    let before = redis_bytes(&scene);
    let deliverer = scene.deliverer()?;
    let idle = machine::resident_bytes(deliverer.process.pid());
    let began = Instant::now();
    let due = loop {
        let numbers = scene.site.store.queue_numbers().await?;
        if numbers.not_fanned_out == 0 {
            break numbers.pending + numbers.leased;
        }
        if began.elapsed() > PATIENCE {
            bail!("{} entries are not fanned out", numbers.not_fanned_out);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let took = began.elapsed().as_secs_f64();
    let resident = machine::resident_bytes(deliverer.process.pid());
    let redis = redis_bytes(&scene) - before;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut table = Table::of(&["what", "figure"]);
    table.row(vec!["deliveries due".to_owned(), due.to_string()]);
    table.row(vec!["fan-out, deliveries/s".to_owned(), format!("{:.0}", due as f64 / took)]);
    table.row(vec!["memory of the deliverer before".to_owned(), format!("{:.1} MiB", mib(idle))]);
    table.row(vec!["memory of the deliverer then".to_owned(), format!("{:.1} MiB", mib(resident))]);
    table.row(vec!["memory of Redis for each".to_owned(), format!("{:.0} bytes", redis as f64 / due as f64)]);
    let json = json!({"due": due, "fan_out_rate": due as f64 / took, "deliverer_bytes": resident,
        "redis_bytes_each": redis as f64 / due as f64});
    Ok(Findings { tables: vec![("Deliveries that are due".to_owned(), table)], json })
}

fn redis_bytes(scene: &Scene) -> u64 {
    let info = scene.site.redis.ask(&["info", "memory"]);
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or_default()
}

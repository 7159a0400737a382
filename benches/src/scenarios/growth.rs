//! Cost of keys, changes and gateways in the store: memory, bytes of the append-only file, commands.

use std::time::Duration;

use serde_json::json;

use super::ScenarioParams;
use crate::findings::Findings;
use crate::gateway_fixture::GatewayFixture;
use crate::machine::{self, Core};
use crate::report::Table;
use crate::store_fixture::StoreFixture;

/// Number of keys that are created and then changed once each.
const KEYS: usize = 20_000;
/// Duration of the measurement of idle gateways.
const IDLE: Duration = Duration::from_secs(10);

pub(super) async fn run(_params: ScenarioParams) -> anyhow::Result<Findings> {
    let fixture = GatewayFixture::start(0).await?;
    let store_fixture = &fixture.store_fixture;
    // A rewrite of the append-only file would hide its growth.
    store_fixture.redis.redis_cli(&["config", "set", "auto-aof-rewrite-percentage", "0"]);
    let empty = StoreUsage::measure(store_fixture);
    let created = store_fixture.create_keys_with_records(KEYS).await?;
    let filled = StoreUsage::measure(store_fixture);
    for (number, chunk) in created.chunks(100).enumerate() {
        let renames = chunk.iter().map(|key| store_fixture.rename(&key.record, format!("renamed {number}")));
        futures::future::try_join_all(renames).await?;
    }
    let changed = StoreUsage::measure(store_fixture);

    let _gateway = fixture.gateway("gateway", Core::Proxy, &[])?;
    let before = StoreUsage::measure(store_fixture);
    tokio::time::sleep(IDLE).await;
    let idle = StoreUsage::measure(store_fixture);
    let per_key = |after: u64, before: u64| after.saturating_sub(before) as f64 / KEYS as f64;
    let per_second = |after: u64, before: u64| (after - before) as f64 / IDLE.as_secs_f64();
    let rows = [
        ("Redis CPU, a key made", per_key(filled.cpu_us, empty.cpu_us), "µs"),
        ("Redis CPU, a change with its read", per_key(changed.cpu_us, filled.cpu_us), "µs"),
        ("memory of a key with the event that it was made", per_key(filled.memory_bytes, empty.memory_bytes), "bytes"),
        (
            "memory of a change (old and new image, until trimmed)",
            per_key(changed.memory_bytes, filled.memory_bytes),
            "bytes",
        ),
        ("append-only file, a key made", per_key(filled.aof_bytes, empty.aof_bytes), "bytes"),
        ("append-only file, a change", per_key(changed.aof_bytes, filled.aof_bytes), "bytes"),
        ("commands of an idle gateway, with those inside scripts", per_second(idle.calls, before.calls), "a second"),
        ("bytes of an idle gateway", per_second(idle.network_bytes, before.network_bytes), "a second"),
    ];
    let mut table = Table::with_columns(&["what", "figure"]);
    for (what, figure, unit) in rows {
        table.add_row(vec![what.to_owned(), format!("{figure:.0} {unit}")]);
    }
    let json = rows.iter().map(|(what, figure, _)| ((*what).to_owned(), json!(figure))).collect();
    Ok(Findings::of_table("What the store grows by", table, serde_json::Value::Object(json)))
}

struct StoreUsage {
    memory_bytes: u64,
    aof_bytes: u64,
    calls: u64,
    network_bytes: u64,
    cpu_us: u64,
}

impl StoreUsage {
    fn measure(store_fixture: &StoreFixture) -> Self {
        let info = ["memory", "persistence", "stats"]
            .map(|section| store_fixture.redis.redis_cli(&["info", section]))
            .join("\n");
        let info_value = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or_default()
        };
        let cpu = store_fixture.redis_pid().map(machine::process_cpu_time).unwrap_or_default();
        let cpu_us = u64::try_from(cpu.as_micros()).unwrap_or_default();
        Self {
            memory_bytes: info_value("used_memory"),
            aof_bytes: info_value("aof_current_size"),
            calls: info_value("total_commands_processed"),
            cpu_us,
            network_bytes: info_value("total_net_input_bytes") + info_value("total_net_output_bytes"),
        }
    }
}

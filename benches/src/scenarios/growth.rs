//! What keys, changes and gateways cost the store: memory, bytes of the append-only file, calls.

use std::time::Duration;

use serde_json::json;

use super::{Extent, Findings};
use crate::machine::{self, Core};
use crate::report::Table;
use crate::site::Site;
use crate::stage::Stage;

/// Keys that are made, and then changed once each.
const KEYS: usize = 20_000;
/// How long idle gateways are watched.
const IDLE: Duration = Duration::from_secs(10);

pub(super) async fn run(_extent: Extent) -> anyhow::Result<Findings> {
    let stage = Stage::start(0).await?;
    let site = &stage.site;
    // A rewrite of the file would hide what is appended.
    site.redis.ask(&["config", "set", "auto-aof-rewrite-percentage", "0"]);
    let empty = Sizes::of(site);
    let made = site.made_keys(KEYS).await?;
    let filled = Sizes::of(site);
    for (number, some) in made.chunks(100).enumerate() {
        let renaming = some.iter().map(|key| site.rename(&key.record, format!("renamed {number}")));
        futures::future::try_join_all(renaming).await?;
    }
    let changed = Sizes::of(site);

    let _gateway = stage.gateway("gateway", Core::Proxy, &[])?;
    let before = Sizes::of(site);
    tokio::time::sleep(IDLE).await;
    let idle = Sizes::of(site);
    let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / KEYS as f64;
    let a_second = |after: u64, before: u64| (after - before) as f64 / IDLE.as_secs_f64();
    let rows = [
        ("Redis CPU, a key made", each(filled.cpu_us, empty.cpu_us), "µs"),
        ("Redis CPU, a change with its read", each(changed.cpu_us, filled.cpu_us), "µs"),
        ("memory of a key with the event that it was made", each(filled.memory, empty.memory), "bytes"),
        ("memory of a change (old and new image, until trimmed)", each(changed.memory, filled.memory), "bytes"),
        ("append-only file, a key made", each(filled.file, empty.file), "bytes"),
        ("append-only file, a change", each(changed.file, filled.file), "bytes"),
        ("commands of an idle gateway, with those inside scripts", a_second(idle.calls, before.calls), "a second"),
        ("bytes of an idle gateway", a_second(idle.net, before.net), "a second"),
    ];
    let mut table = Table::of(&["what", "figure"]);
    for (what, figure, unit) in rows {
        table.row(vec![what.to_owned(), format!("{figure:.0} {unit}")]);
    }
    let json = rows.iter().map(|(what, figure, _)| ((*what).to_owned(), json!(figure))).collect();
    Ok(Findings { tables: vec![("What the store grows by".to_owned(), table)], json: serde_json::Value::Object(json) })
}

struct Sizes {
    memory: u64,
    file: u64,
    calls: u64,
    net: u64,
    cpu_us: u64,
}

impl Sizes {
    fn of(site: &Site) -> Self {
        let info = ["memory", "persistence", "stats"].map(|section| site.redis.ask(&["info", section])).join("\n");
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or_default()
        };
        let cpu = site.redis_pid().map(machine::cpu_time).unwrap_or_default();
        let cpu_us = u64::try_from(cpu.as_micros()).unwrap_or_default();
        Self {
            memory: number("used_memory"),
            file: number("aof_current_size"),
            calls: number("total_commands_processed"),
            cpu_us,
            net: number("total_net_input_bytes") + number("total_net_output_bytes"),
        }
    }
}

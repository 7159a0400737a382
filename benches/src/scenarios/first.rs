//! 10,000 keys that were never used, all at once; then a gateway that starts with an empty cache; then hits. With what
//! each asks of the store.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{Extent, Findings};
use crate::generator::{Keys, Requests, Until};
use crate::machine::{self, Core};
use crate::peers::Peer;
use crate::report::Table;
use crate::rounds::Case;
use crate::stage::Stage;

const KEYS: usize = 10_000;

pub(super) async fn run(_extent: Extent) -> anyhow::Result<Findings> {
    let stage = Stage::start(KEYS).await?;
    let mut found = Vec::new();
    let storm = stage.gateway("storm", Core::Proxy, &[])?;
    found.push(("never used", ask_for_all(&stage, &storm)?));
    drop(storm);
    let cold = stage.gateway("cold", Core::Proxy, &[])?;
    found.push(("empty cache", ask_for_all(&stage, &cold)?));
    found.push(("in the cache", ask_for_all(&stage, &cold)?));
    let mut table = Table::of(&[
        "10,000 requests with 10,000 keys",
        "took",
        "p50",
        "p99",
        "CPU µs a request",
        "Redis CPU µs a request",
        "store calls a request",
        "bytes to and from Redis a request",
    ]);
    for (name, asked) in &found {
        let mut row = vec![(*name).to_owned()];
        row.extend([asked.took_ms, asked.p50_ms, asked.p99_ms].map(|ms| format!("{ms:.1} ms")));
        row.extend([asked.cpu_us, asked.redis_cpu_us].map(|us| format!("{us:.1}")));
        row.extend([format!("{:.3}", asked.calls), format!("{:.0}", asked.bytes)]);
        table.row(row);
    }
    Ok(Findings { tables: vec![("Never used, cold, warm".to_owned(), table)], json: json!(found) })
}

/// Figures of a request, over all of them.
#[derive(Debug, Serialize)]
struct Asked {
    took_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
    redis_cpu_us: f64,
    calls: f64,
    bytes: f64,
}

fn ask_for_all(stage: &Stage, gateway: &Arc<Peer>) -> anyhow::Result<Asked> {
    let requests = Requests::get("/some/resource", Keys::InTurn(Arc::clone(&stage.keys)));
    let mut case = Case::new("all keys once", gateway, requests);
    let redis_cpu = || stage.site.redis_pid().map(machine::cpu_time);
    let before = (gateway.cpu_time(), calls(stage), bytes(stage), redis_cpu()?);
    let outcome = case.ask(Until::Answers(KEYS as u64))?;
    let each = |all: f64| all / KEYS as f64;
    let ms = |quantile: f64| outcome.latency.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(Asked {
        took_ms: outcome.took.as_secs_f64() * 1000.0,
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        cpu_us: each((gateway.cpu_time() - before.0).as_secs_f64() * 1e6),
        redis_cpu_us: each((redis_cpu()? - before.3).as_secs_f64() * 1e6),
        // With those of the feed and the heartbeats, which go on whether or not a gateway is asked.
        calls: each((calls(stage) - before.1) as f64),
        bytes: each((bytes(stage) - before.2) as f64),
    })
}

/// Scripts that Redis was asked for: each act is one.
fn calls(stage: &Stage) -> u64 {
    let info = stage.site.redis.ask(&["info", "commandstats"]);
    let line = info.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or_default()
}

fn bytes(stage: &Stage) -> u64 {
    let info = stage.site.redis.ask(&["info", "stats"]);
    let of = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    of("total_net_input_bytes") + of("total_net_output_bytes")
}

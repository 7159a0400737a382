//! 10,000 keys that were never used, all at once; then a gateway with an empty cache; then cache hits. With the number
//! of store operations.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::ScenarioParams;
use crate::findings::Findings;
use crate::gateway_fixture::GatewayFixture;
use crate::generator::{Keys, Requests, StopAfter};
use crate::machine::{self, Core};
use crate::peers::Peer;
use crate::report::Table;
use crate::rounds::Case;

const KEYS: usize = 10_000;

pub(super) async fn run(_params: ScenarioParams) -> anyhow::Result<Findings> {
    let fixture = GatewayFixture::start(KEYS).await?;
    let mut results = Vec::new();
    let storm = fixture.gateway("storm", Core::Proxy, &[])?;
    results.push(("never used", request_all_keys(&fixture, &storm)?));
    drop(storm);
    let cold = fixture.gateway("cold", Core::Proxy, &[])?;
    results.push(("empty cache", request_all_keys(&fixture, &cold)?));
    results.push(("in the cache", request_all_keys(&fixture, &cold)?));
    let mut table = Table::with_columns(&[
        "10,000 requests with 10,000 keys",
        "took",
        "p50",
        "p99",
        "CPU µs a request",
        "Redis CPU µs a request",
        "store calls a request",
        "bytes to and from Redis a request",
    ]);
    for (name, costs) in &results {
        let mut row = vec![(*name).to_owned()];
        row.extend([costs.took_ms, costs.p50_ms, costs.p99_ms].map(|ms| format!("{ms:.1} ms")));
        row.extend([costs.cpu_us, costs.redis_cpu_us].map(|us| format!("{us:.1}")));
        row.extend([format!("{:.3}", costs.calls), format!("{:.0}", costs.bytes)]);
        table.add_row(row);
    }
    Ok(Findings::of_table("Never used, cold, warm", table, json!(results)))
}

/// Cost per request, averaged over all requests.
#[derive(Debug, Serialize)]
struct RequestCosts {
    took_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
    redis_cpu_us: f64,
    calls: f64,
    bytes: f64,
}

fn request_all_keys(fixture: &GatewayFixture, gateway: &Arc<Peer>) -> anyhow::Result<RequestCosts> {
    let requests = Requests::get("/some/resource", Keys::RoundRobin(Arc::clone(&fixture.keys)));
    let mut case = Case::new("all keys once", gateway, requests);
    let redis_cpu = || fixture.store_fixture.redis_pid().map(machine::process_cpu_time);
    let before = (gateway.cpu_time(), redis_calls(fixture), redis_bytes(fixture), redis_cpu()?);
    let result = case.send_requests(StopAfter::Responses(KEYS as u64))?;
    let per_request = |all: f64| all / KEYS as f64;
    let ms = |quantile: f64| result.latency.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(RequestCosts {
        took_ms: result.elapsed.as_secs_f64() * 1000.0,
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        cpu_us: per_request((gateway.cpu_time() - before.0).as_secs_f64() * 1e6),
        redis_cpu_us: per_request((redis_cpu()? - before.3).as_secs_f64() * 1e6),
        // This includes the calls of the change feed and heartbeats, which continue without requests.
        calls: per_request((redis_calls(fixture) - before.1) as f64),
        bytes: per_request((redis_bytes(fixture) - before.2) as f64),
    })
}

/// Returns the number of scripts that Redis has executed, which is one per store operation.
fn redis_calls(fixture: &GatewayFixture) -> u64 {
    let info = fixture.store_fixture.redis.redis_cli(&["info", "commandstats"]);
    let line = info.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or_default()
}

fn redis_bytes(fixture: &GatewayFixture) -> u64 {
    let info = fixture.store_fixture.redis.redis_cli(&["info", "stats"]);
    let counter = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    counter("total_net_input_bytes") + counter("total_net_output_bytes")
}

//! 1, 10,000 and 1,000,000 cached keys; memory per key, and the start time with all of them in the store.

use std::sync::Arc;

use serde_json::json;

use super::ScenarioParams;
use crate::findings::Findings;
use crate::gateway_fixture::GatewayFixture;
use crate::generator::{Keys, Requests, StopAfter};
use crate::machine::Core;
use crate::report::Table;
use crate::rounds::{self, Case};

/// Capacity for all keys. The default is one million.
const CAPACITY: (&str, &str) = ("GATEPOST_GATEWAY__CACHE_CAPACITY", "1200000");

pub(super) async fn run(params: ScenarioParams) -> anyhow::Result<Findings> {
    let empty = GatewayFixture::start(0).await?;
    let without_keys = empty.gateway("empty", Core::Proxy, &[])?;
    let (ready_empty, idle_bytes) = (without_keys.ready_after, without_keys.resident_bytes());
    drop((without_keys, empty));

    let fixture = GatewayFixture::start(params.many_keys).await?;
    let mut cases = Vec::new();
    for count in [1, 10_000, params.many_keys] {
        let keys = Arc::new(fixture.keys[..count].to_vec());
        let environment = [(CAPACITY.0, CAPACITY.1.to_owned())];
        let gateway = fixture.gateway(&format!("gateway-{count}"), Core::Proxy, &environment)?;
        cases.push((gateway, keys));
    }
    let (full, all_keys) = cases[2].clone();
    let ready_full = full.ready_after;
    let before = full.resident_bytes();
    let mut cases: Vec<Case> = cases
        .into_iter()
        .map(|(gateway, keys)| {
            let mut case = Case::new(
                format!("{} keys", keys.len()),
                &gateway,
                Requests::get("/some/resource", Keys::RoundRobin(Arc::clone(&keys))),
            );
            case.send_requests(StopAfter::Responses(keys.len() as u64)).map(|_| {
                case.requests = Requests::get("/some/resource", Keys::Random(keys));
                case
            })
        })
        .collect::<anyhow::Result<_>>()?;
    let bytes_a_key = (full.resident_bytes() - before) as f64 / all_keys.len() as f64;
    rounds::measure(&mut cases, params.plan)?;

    let mut findings = Findings::of_cases("Keys in the cache", rounds::table(&cases), &cases);
    let mut table = Table::with_columns(&["what", "figure"]);
    let ms = |duration: Option<std::time::Duration>| duration.unwrap_or_default().as_secs_f64() * 1000.0;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    table.add_row(vec!["ready after, without keys".into(), format!("{:.0} ms", ms(ready_empty))]);
    table.add_row(vec![format!("ready after, {} keys in Redis", all_keys.len()), format!("{:.0} ms", ms(ready_full))]);
    table.add_row(vec!["memory of an idle gateway".into(), format!("{:.1} MiB", mib(idle_bytes))]);
    table.add_row(vec![
        format!("memory with {} keys cached", all_keys.len()),
        format!("{:.1} MiB", mib(full.resident_bytes())),
    ]);
    table.add_row(vec!["memory of a cached key".into(), format!("{bytes_a_key:.0} bytes")]);
    findings.json["start and memory"] = json!({
        "ready_ms_empty": ms(ready_empty), "ready_ms_full": ms(ready_full), "idle_bytes": idle_bytes,
        "bytes_a_key": bytes_a_key, "keys": all_keys.len(),
    });
    findings.tables.push(("Start and memory".to_owned(), table));
    Ok(findings)
}

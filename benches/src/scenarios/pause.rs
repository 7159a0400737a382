//! Redis is paused for 5 s during requests with known keys at a constant rate.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::ScenarioParams;
use crate::findings::Findings;
use crate::gateway_fixture::GatewayFixture;
use crate::generator::{Keys, LoadModel, Requests, StopAfter};
use crate::machine::Core;
use crate::report::Table;
use crate::rounds::Case;

const KEYS: usize = 10_000;
/// Requests per second.
const RATE: f64 = 1000.0;
/// Durations before, during and after the pause.
const BEFORE_PAUSE: Duration = Duration::from_secs(3);
const PAUSE_DURATION: Duration = Duration::from_secs(5);
const AFTER_PAUSE: Duration = Duration::from_secs(4);

pub(super) async fn run(_params: ScenarioParams) -> anyhow::Result<Findings> {
    let fixture = GatewayFixture::start(KEYS).await?;
    let gateway = fixture.gateway("gateway", Core::Proxy, &[])?;
    let mut case =
        Case::new("known keys", &gateway, Requests::get("/some/resource", Keys::RoundRobin(Arc::clone(&fixture.keys))));
    case.send_requests(StopAfter::Responses(KEYS as u64))?;
    case.load_model = LoadModel::ConstantRate(RATE);
    case.expected_statuses = &[200, 503];
    let unpaused = case.send_requests(StopAfter::Elapsed(BEFORE_PAUSE))?;
    let load = tokio::task::spawn_blocking(move || {
        case.send_requests(StopAfter::Elapsed(BEFORE_PAUSE + PAUSE_DURATION + AFTER_PAUSE))
    });
    tokio::time::sleep(BEFORE_PAUSE).await;
    fixture.store_fixture.redis.signal("-STOP");
    tokio::time::sleep(PAUSE_DURATION).await;
    fixture.store_fixture.redis.signal("-CONT");
    let paused = load.await??;
    let mut table = Table::with_columns(&[
        "1,000 requests a second, known keys",
        "answers 200",
        "others",
        "p50",
        "p99",
        "p99.9",
        "greatest",
    ]);
    let mut json = serde_json::Map::new();
    for (name, result) in [("no pause", unpaused), ("Redis paused for 5 s of 12 s", paused)] {
        let ms = |us: u64| us as f64 / 1000.0;
        let quantile_ms = |quantile: f64| ms(result.latency.value_at_quantile(quantile));
        let (passed, all, greatest) = (result.count_with_status(200), result.responses(), ms(result.latency.max()));
        let mut row = vec![name.to_owned(), passed.to_string(), (all - passed).to_string()];
        row.extend([quantile_ms(0.5), quantile_ms(0.99), quantile_ms(0.999), greatest].map(|ms| format!("{ms:.2} ms")));
        table.add_row(row);
        let figures = json!({"passed": passed, "answers": all, "p50_ms": quantile_ms(0.5), "p99_ms": quantile_ms(0.99),
            "p999_ms": quantile_ms(0.999), "max_ms": greatest});
        json.insert(name.to_owned(), figures);
    }
    Ok(Findings::of_table("A pause of the store", table, json.into()))
}

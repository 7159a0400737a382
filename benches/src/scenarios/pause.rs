//! Redis stands still for 5 s while known keys are asked for at a constant rate.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Extent, Findings};
use crate::generator::{Keys, Pace, Requests, Until};
use crate::machine::Core;
use crate::report::Table;
use crate::rounds::Case;
use crate::stage::Stage;

const KEYS: usize = 10_000;
/// Requests a second.
const RATE: f64 = 1000.0;
/// Before the pause, in it, and after it.
const BEFORE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(4);

pub(super) async fn run(_extent: Extent) -> anyhow::Result<Findings> {
    let stage = Stage::start(KEYS).await?;
    let gateway = stage.gateway("gateway", Core::Proxy, &[])?;
    let mut case =
        Case::new("known keys", &gateway, Requests::get("/some/resource", Keys::InTurn(Arc::clone(&stage.keys))));
    case.ask(Until::Answers(KEYS as u64))?;
    case.pace = Pace::Rate(RATE);
    case.expects = &[200, 503];
    let calm = case.ask(Until::For(BEFORE))?;
    let asking = tokio::task::spawn_blocking(move || case.ask(Until::For(BEFORE + PAUSE + AFTER)));
    tokio::time::sleep(BEFORE).await;
    stage.site.redis.signal("-STOP");
    tokio::time::sleep(PAUSE).await;
    stage.site.redis.signal("-CONT");
    let paused = asking.await??;
    let mut table =
        Table::of(&["1,000 requests a second, known keys", "answers 200", "others", "p50", "p99", "p99.9", "greatest"]);
    let mut json = serde_json::Map::new();
    for (name, outcome) in [("no pause", calm), ("Redis paused for 5 s of 12 s", paused)] {
        let ms = |us: u64| us as f64 / 1000.0;
        let at = |quantile: f64| ms(outcome.latency.value_at_quantile(quantile));
        let (passed, all, greatest) = (outcome.of_status(200), outcome.answers(), ms(outcome.latency.max()));
        let mut row = vec![name.to_owned(), passed.to_string(), (all - passed).to_string()];
        row.extend([at(0.5), at(0.99), at(0.999), greatest].map(|ms| format!("{ms:.2} ms")));
        table.row(row);
        let figures = json!({"passed": passed, "answers": all, "p50_ms": at(0.5), "p99_ms": at(0.99),
            "p999_ms": at(0.999), "max_ms": greatest});
        json.insert(name.to_owned(), figures);
    }
    Ok(Findings { tables: vec![("A pause of the store".to_owned(), table)], json: json.into() })
}

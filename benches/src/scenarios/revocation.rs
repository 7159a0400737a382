//! From the answer that a key is shut off until the gateway's last acceptance of it.

use std::time::Duration;

use anyhow::bail;
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::time::Instant;

use super::{Extent, Findings};
use crate::generator::{self, Keys, Load, Pace, Requests, Until};
use crate::machine::Core;
use crate::report::Table;
use crate::stage::Stage;

/// How long it may take before something is wrong.
const DEADLINE: Duration = Duration::from_secs(10);

pub(super) async fn run(extent: Extent) -> anyhow::Result<Findings> {
    let stage = Stage::start(0).await?;
    let made = stage.site.made_keys(extent.repetitions).await?;
    let gateway = stage.gateway("gateway", Core::Proxy, &[])?;
    let mut took = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    for key in &made {
        let load = Load {
            target: gateway.address,
            connections: 1,
            pace: Pace::Answers,
            until: Until::Answers(1),
            core: Core::Load,
        };
        let mut requests = Requests::get("/some/resource", Keys::InTurn(vec![key.value.clone()].into()));
        generator::run(load, &mut requests)?.expect_only(&[200])?;
        stage.site.revoke(&key.record).await?;
        let answered = Instant::now();
        let last = last_acceptance(load, &mut requests, answered)?;
        took.saturating_record(u64::try_from(last.as_micros())?);
    }
    let mut table = Table::of(&["revocations", "p50", "p90", "p99", "greatest"]);
    let ms = |us: u64| us as f64 / 1000.0;
    let quantiles = [0.5, 0.9, 0.99, 1.0].map(|quantile| ms(took.value_at_quantile(quantile)));
    let mut row = vec![took.len().to_string()];
    row.extend(quantiles.map(|ms| format!("{ms:.2} ms")));
    table.row(row);
    Ok(Findings {
        tables: vec![("From a revocation's answer to the gateway's last acceptance".to_owned(), table)],
        json: json!({"p50_p90_p99_max_ms": quantiles, "count": took.len()}),
    })
}

/// Asks again and again until it is refused; answers when the last accepted request was answered, 0 if none was.
fn last_acceptance(load: Load, requests: &mut Requests, since: Instant) -> anyhow::Result<Duration> {
    let mut last = Duration::ZERO;
    while since.elapsed() < DEADLINE {
        let outcome = generator::run(load, requests)?;
        outcome.expect_only(&[200, 401])?;
        if outcome.of_status(401) == 1 {
            return Ok(last);
        }
        last = since.elapsed();
    }
    bail!("a revoked key was accepted for {} s", DEADLINE.as_secs())
}

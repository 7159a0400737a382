//! Time from the response to a revocation until the gateway's last acceptance of the key.

use std::time::Duration;

use anyhow::bail;
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::time::Instant;

use super::ScenarioParams;
use crate::findings::Findings;
use crate::gateway_fixture::GatewayFixture;
use crate::generator::{self, Keys, LoadConfig, LoadModel, Requests, StopAfter};
use crate::machine::Core;
use crate::report::Table;

/// Maximum time until the scenario fails.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn run(params: ScenarioParams) -> anyhow::Result<Findings> {
    let fixture = GatewayFixture::start(0).await?;
    let created = fixture.store_fixture.create_keys_with_records(params.repetitions).await?;
    let gateway = fixture.gateway("gateway", Core::Proxy, &[])?;
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    for key in &created {
        let load = LoadConfig {
            target: gateway.target(),
            connections: 1,
            load_model: LoadModel::ClosedLoop,
            stop_after: StopAfter::Responses(1),
            core: Core::Load,
        };
        let mut requests = Requests::get("/some/resource", Keys::RoundRobin(vec![key.value.clone()].into()));
        generator::run(&load, &mut requests)?.expect_only(&[200])?;
        fixture.store_fixture.revoke(&key.record).await?;
        let revoked_at = Instant::now();
        let last = last_acceptance(&load, &mut requests, revoked_at)?;
        latencies.saturating_record(u64::try_from(last.as_micros())?);
    }
    let mut table = Table::with_columns(&["revocations", "p50", "p90", "p99", "greatest"]);
    let ms = |us: u64| us as f64 / 1000.0;
    let quantiles = [0.5, 0.9, 0.99, 1.0].map(|quantile| ms(latencies.value_at_quantile(quantile)));
    let mut row = vec![latencies.len().to_string()];
    row.extend(quantiles.map(|ms| format!("{ms:.2} ms")));
    table.add_row(row);
    let json = json!({"p50_p90_p99_max_ms": quantiles, "count": latencies.len()});
    Ok(Findings::of_table("From a revocation's answer to the gateway's last acceptance", table, json))
}

/// Sends requests until the key is rejected. Returns the time of the last accepted response, or 0 if there is none.
fn last_acceptance(load: &LoadConfig, requests: &mut Requests, revoked_at: Instant) -> anyhow::Result<Duration> {
    let mut last = Duration::ZERO;
    while revoked_at.elapsed() < TIMEOUT {
        let result = generator::run(load, requests)?;
        result.expect_only(&[200, 401])?;
        if result.count_with_status(401) == 1 {
            return Ok(last);
        }
        last = revoked_at.elapsed();
    }
    bail!("a revoked key was accepted for {} s", TIMEOUT.as_secs())
}

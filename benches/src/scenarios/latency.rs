//! Latency at constant rates, measured from the time at which each request is due, next to nginx and plain Pingora.

use std::sync::Arc;

use super::ScenarioParams;
use crate::findings::Findings;
use crate::gateway_fixture::GatewayFixture;
use crate::generator::{Keys, LoadModel, Requests, StopAfter};
use crate::machine::Core;
use crate::peers;
use crate::report::Table;
use crate::rounds::{self, Case};

const KEYS: usize = 10_000;
/// Requests per second.
const RATES: [f64; 2] = [1000.0, 3000.0];

pub(super) async fn run(params: ScenarioParams) -> anyhow::Result<Findings> {
    let fixture = GatewayFixture::start(KEYS).await?;
    let keys = Keys::RoundRobin(Arc::clone(&fixture.keys));
    let nginx = Arc::new(peers::start_nginx(&fixture.peer_config())?);
    let pingora = Arc::new(peers::start_pingora(&fixture.peer_config())?);
    let gateway = fixture.gateway("gateway", Core::Proxy, &[])?;
    Case::new("warm up", &gateway, Requests::get("/", keys.clone()))
        .send_requests(StopAfter::Responses(KEYS as u64))?;
    let mut cases = Vec::new();
    for rate in RATES {
        for peer in [&nginx, &pingora, &gateway] {
            let requests = Requests::get("/some/resource", keys.clone());
            let mut case = Case::new(format!("{rate} a second, {}", peer.name), peer, requests);
            case.load_model = LoadModel::ConstantRate(rate);
            cases.push(case);
        }
    }
    rounds::measure(&mut cases, params.plan)?;
    let mut table = Table::with_columns(&["case", "p50", "p99", "p99.9", "CPU µs a request"]);
    let mut findings = Findings::of_cases("Latency at a constant rate", Table::default(), &cases);
    for case in &cases {
        let quantiles = [0.5, 0.99, 0.999].map(|quantile| case.figures.latency_ms(quantile));
        let mut row = vec![case.name.clone()];
        row.extend(quantiles.map(|ms| format!("{ms:.2} ms")));
        row.push(format!("{:.1}", case.cpu().median));
        table.add_row(row);
        findings.json[case.name.as_str()]["p50_p99_p999_ms"] = serde_json::json!(quantiles);
    }
    findings.tables = vec![("Latency at a constant rate".to_owned(), table)];
    Ok(findings)
}

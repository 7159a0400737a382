//! Bodies of 1 KiB, 100 KiB and 10 MiB in both directions, next to nginx and plain Pingora.

use std::sync::Arc;
use std::time::Duration;

use super::ScenarioParams;
use crate::findings::Findings;
use crate::gateway_fixture::GatewayFixture;
use crate::generator::{Keys, Requests, StopAfter};
use crate::machine::Core;
use crate::peers::{self, Peer};
use crate::report::Table;
use crate::rounds::{self, Case, Plan};
use crate::statistics::Ratio;
use crate::upstream::BODIES;

const KEYS: usize = 10_000;
/// Number of connections, and number for large bodies: requests in flight at the end of a round are not counted.
const CONNECTIONS: usize = 64;
const LARGE_BODY_CONNECTIONS: usize = 2;
const LARGE_BODY_BYTES: usize = 1 << 20;
/// Rounds are long because large bodies take long, and therefore few.
const ROUND_DURATION: Duration = Duration::from_secs(3);
const MAX_ROUNDS: usize = 5;

pub(super) async fn run(params: ScenarioParams) -> anyhow::Result<Findings> {
    let fixture = GatewayFixture::start(KEYS).await?;
    let keys = Keys::RoundRobin(Arc::clone(&fixture.keys));
    let nginx = Arc::new(peers::start_nginx(&fixture.peer_config())?);
    let pingora = Arc::new(peers::start_pingora(&fixture.peer_config())?);
    let gateway = fixture.gateway("gateway", Core::Proxy, &[])?;
    Case::new("warm up", &gateway, Requests::get("/", keys.clone()))
        .send_requests(StopAfter::Responses(KEYS as u64))?;
    let mut cases = Vec::new();
    for (path, length) in BODIES {
        for direction in ["down", "up"] {
            for peer in [&nginx, &pingora, &gateway] {
                cases.push(case(peer, &keys, direction, path, length));
            }
        }
    }
    let plan = Plan { rounds: params.plan.rounds.min(MAX_ROUNDS), duration: ROUND_DURATION, ..params.plan };
    rounds::measure(&mut cases, plan)?;
    Ok(Findings::of_cases("Bodies", table(&cases), &cases))
}

fn case(peer: &Arc<Peer>, keys: &Keys, direction: &str, path: &str, length: usize) -> Case {
    let requests = match direction {
        "down" => Requests::get(path, keys.clone()),
        _ => Requests::post("/upload", keys.clone(), vec![b'x'; length]),
    };
    let mut case = Case::new(format!("{} {direction}, {}", &path[1..], peer.name), peer, requests);
    case.connections = if length < LARGE_BODY_BYTES { CONNECTIONS } else { LARGE_BODY_CONNECTIONS };
    case
}

/// Returns a table with one row per three cases, which are in the order of their creation.
fn table(cases: &[Case]) -> Table {
    let mut table =
        Table::with_columns(&["body", "nginx µs", "Pingora µs", "Gatepost µs", "Gatepost in parts of Pingora [95 %]"]);
    for body_cases in cases.chunks_exact(3) {
        let name = body_cases[0].name.split(',').next().unwrap_or_default().to_owned();
        let ratio = Ratio::paired(&body_cases[2].figures.cpu_us, &body_cases[1].figures.cpu_us);
        let mut row = vec![name];
        row.extend(body_cases.iter().map(|case| format!("{:.0}", case.cpu().median)));
        row.push(ratio.to_string());
        table.add_row(row);
    }
    table
}

//! Bodies of 1 KiB, 100 KiB and 10 MiB, both ways, beside nginx and plain Pingora.

use std::sync::Arc;
use std::time::Duration;

use super::{Extent, Findings};
use crate::generator::{Keys, Requests, Until};
use crate::machine::Core;
use crate::peers::{self, Peer};
use crate::report::Table;
use crate::rounds::{self, Case, Plan};
use crate::stage::Stage;
use crate::statistics::Ratio;
use crate::upstream::BODIES;

const KEYS: usize = 10_000;
/// Connections, and where bodies are large: what is under way at the end of a round is not counted.
const CONNECTIONS: usize = 64;
const CONNECTIONS_OF_LARGE: usize = 2;
const LARGE: usize = 1 << 20;
/// Long, since a large body takes long, and therefore few.
const SPAN: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;

pub(super) async fn run(extent: Extent) -> anyhow::Result<Findings> {
    let stage = Stage::start(KEYS).await?;
    let keys = Keys::InTurn(Arc::clone(&stage.keys));
    let nginx = Arc::new(peers::start_nginx(&stage.around())?);
    let pingora = Arc::new(peers::start_pingora(&stage.around())?);
    let own = stage.gateway("gateway", Core::Proxy, &[])?;
    Case::new("warm up", &own, Requests::get("/", keys.clone())).ask(Until::Answers(KEYS as u64))?;
    let mut cases = Vec::new();
    for (path, length) in BODIES {
        for way in ["down", "up"] {
            for peer in [&nginx, &pingora, &own] {
                cases.push(case(peer, &keys, way, path, length));
            }
        }
    }
    let plan = Plan { rounds: extent.plan.rounds.min(ROUNDS), span: SPAN, ..extent.plan };
    rounds::measure(&mut cases, plan)?;
    Ok(Findings::of_cases("Bodies", table(&cases), &cases))
}

fn case(peer: &Arc<Peer>, keys: &Keys, way: &str, path: &str, length: usize) -> Case {
    let requests = match way {
        "down" => Requests::get(path, keys.clone()),
        _ => Requests::post("/upload", keys.clone(), vec![b'x'; length]),
    };
    let mut case = Case::new(format!("{} {way}, {}", &path[1..], peer.name), peer, requests);
    case.connections = if length < LARGE { CONNECTIONS } else { CONNECTIONS_OF_LARGE };
    case
}

/// One row for each three cases: they stand in the order in which they were made.
fn table(cases: &[Case]) -> Table {
    let mut table =
        Table::of(&["body", "nginx µs", "Pingora µs", "Gatepost µs", "Gatepost in parts of Pingora [95 %]"]);
    for of_body in cases.chunks_exact(3) {
        let name = of_body[0].name.split(',').next().unwrap_or_default().to_owned();
        let ratio = Ratio::paired(&of_body[2].figures.cpu_us, &of_body[1].figures.cpu_us);
        let mut row = vec![name];
        row.extend(of_body.iter().map(|case| format!("{:.0}", case.cpu().median)));
        row.push(ratio.to_string());
        table.row(row);
    }
    table
}

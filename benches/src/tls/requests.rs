//! CPU time of a request on keep-alive connections over TLS 1.3.

use super::{PATH, TlsBench, comparison, ratio_of_gatepost};
use crate::findings::Findings;
use crate::rounds::{self, Case};

/// Most that Gatepost may take, in parts of a peer, by the start of the peer's name.
const GOALS: [(&str, f64); 2] = [("Envoy", 0.65), ("Caddy", 0.33)];

pub(super) fn run(bench: &TlsBench) -> anyhow::Result<Findings> {
    let peers = bench.start_peers("requests")?;
    let cases = peers.iter().map(|peer| bench.case(peer.name, peer, PATH));
    let mut cases: Vec<Case> = cases.collect::<anyhow::Result<_>>()?;
    rounds::measure(&mut cases, bench.plan)?;
    let proxies: Vec<_> = cases.iter().map(|case| (case.name.as_str(), &case.figures)).collect();
    let mut findings =
        Findings::of_cases("Requests on keep-alive connections", comparison("request", &proxies), &cases);
    for (peer, goal) in GOALS {
        let Some((name, figures)) = proxies.iter().find(|(name, _)| name.starts_with(peer)) else { continue };
        if let Some(ratio) = ratio_of_gatepost(&proxies, figures) {
            let result = if ratio.median <= goal { "reached" } else { "not reached" };
            findings.notes.push(format!("Goal: at most {goal} of {name}. Measured: {ratio}. It is {result}."));
        }
    }
    Ok(findings)
}

//! One and two worker threads, which may run on any core, like the load generator and the upstream.

use std::sync::Arc;

use super::ScenarioParams;
use crate::findings::Findings;
use crate::gateway_fixture::GatewayFixture;
use crate::generator::{Keys, Requests, StopAfter};
use crate::machine::Core;
use crate::rounds::{self, Case};

const KEYS: usize = 10_000;

pub(super) async fn run(params: ScenarioParams) -> anyhow::Result<Findings> {
    let fixture = GatewayFixture::start(KEYS).await?;
    let keys = Keys::RoundRobin(Arc::clone(&fixture.keys));
    let mut cases = Vec::new();
    for threads in ["1", "2"] {
        let environment = [("TOKIO_WORKER_THREADS", threads.to_owned())];
        let gateway = fixture.gateway(&format!("gateway-{threads}"), Core::Any, &environment)?;
        let mut case =
            Case::new(format!("worker threads: {threads}"), &gateway, Requests::get("/some/resource", keys.clone()));
        case.core = Core::Any;
        case.send_requests(StopAfter::Responses(KEYS as u64))?;
        cases.push(case);
    }
    rounds::measure(&mut cases, params.plan)?;
    Ok(Findings::of_cases("Worker threads", rounds::table(&cases), &cases))
}

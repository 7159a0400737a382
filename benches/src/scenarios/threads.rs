//! One worker thread and two, both free to run on any core, as load generator and upstream are.

use std::sync::Arc;

use super::{Extent, Findings};
use crate::generator::{Keys, Requests, Until};
use crate::machine::Core;
use crate::rounds::{self, Case};
use crate::stage::Stage;

const KEYS: usize = 10_000;

pub(super) async fn run(extent: Extent) -> anyhow::Result<Findings> {
    let stage = Stage::start(KEYS).await?;
    let keys = Keys::InTurn(Arc::clone(&stage.keys));
    let mut cases = Vec::new();
    for threads in ["1", "2"] {
        let environment = [("TOKIO_WORKER_THREADS", threads.to_owned())];
        let gateway = stage.gateway(&format!("gateway-{threads}"), Core::Any, &environment)?;
        let mut case =
            Case::new(format!("worker threads: {threads}"), &gateway, Requests::get("/some/resource", keys.clone()));
        case.core = Core::Any;
        case.ask(Until::Answers(KEYS as u64))?;
        cases.push(case);
    }
    rounds::measure(&mut cases, extent.plan)?;
    Ok(Findings::of_cases("Worker threads", rounds::table(&cases), &cases))
}

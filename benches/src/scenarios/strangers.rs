//! One request of ten names a value that no key has: the same ones again and again, or another one each time.

use std::sync::Arc;

use super::{Extent, Findings};
use crate::generator::{Keys, Requests, Strangers, Until};
use crate::machine::Core;
use crate::rounds::{self, Case};
use crate::site;
use crate::stage::Stage;

const KEYS: usize = 10_000;
/// As few as a broken client tries again and again.
const FEW: usize = 10;
/// More than a run asks for.
const MANY: usize = 300_000;

pub(super) async fn run(extent: Extent) -> anyhow::Result<Findings> {
    let stage = Stage::start(KEYS).await?;
    let keys = Keys::InTurn(Arc::clone(&stage.keys));
    let strangers = [
        ("only valid keys", Strangers::None),
        ("10 % unknown, repeated", Strangers::InTurn(Arc::new(site::strangers(FEW)))),
        ("10 % unknown, all different", Strangers::InTurn(Arc::new(site::strangers(MANY)))),
    ];
    let mut cases = Vec::new();
    for (number, (name, strangers)) in strangers.into_iter().enumerate() {
        // All of them come from one client.
        let any_number = [("GATEPOST_GATEWAY__MAX_WRONG_KEYS_A_MINUTE", "0".to_owned())];
        let gateway = stage.gateway(&format!("gateway-{number}"), Core::Proxy, &any_number)?;
        let mut case = Case::new(name, &gateway, Requests::get("/some/resource", keys.clone()));
        case.ask(Until::Answers(KEYS as u64))?;
        case.requests = Requests::get("/some/resource", keys.clone()).with(strangers);
        case.expects = &[200, 401];
        cases.push(case);
    }
    rounds::measure(&mut cases, extent.plan)?;
    Ok(Findings::of_cases("Unknown keys", rounds::table(&cases), &cases))
}

//! One of ten requests has an unknown key: always the same ones, or a different one each time.

use std::sync::Arc;

use super::ScenarioParams;
use crate::findings::Findings;
use crate::gateway_fixture::GatewayFixture;
use crate::generator::{Keys, Requests, StopAfter, UnknownKeys};
use crate::machine::Core;
use crate::rounds::{self, Case};
use crate::store_fixture;

const KEYS: usize = 10_000;
/// Number of repeated unknown keys, as of a broken client.
const FEW: usize = 10;
/// Number of different unknown keys, more than a run sends.
const MANY: usize = 300_000;

pub(super) async fn run(params: ScenarioParams) -> anyhow::Result<Findings> {
    let fixture = GatewayFixture::start(KEYS).await?;
    let keys = Keys::RoundRobin(Arc::clone(&fixture.keys));
    let variants = [
        ("only valid keys", UnknownKeys::None),
        ("10 % unknown, repeated", UnknownKeys::RoundRobin(Arc::new(store_fixture::unknown_keys(FEW)))),
        ("10 % unknown, all different", UnknownKeys::RoundRobin(Arc::new(store_fixture::unknown_keys(MANY)))),
    ];
    let mut cases = Vec::new();
    for (number, (name, unknown_keys)) in variants.into_iter().enumerate() {
        // All requests come from one client.
        let unlimited = [("GATEPOST_GATEWAY__MAX_WRONG_KEYS_A_MINUTE", "0".to_owned())];
        let gateway = fixture.gateway(&format!("gateway-{number}"), Core::Proxy, &unlimited)?;
        let mut case = Case::new(name, &gateway, Requests::get("/some/resource", keys.clone()));
        case.send_requests(StopAfter::Responses(KEYS as u64))?;
        case.requests = Requests::get("/some/resource", keys.clone()).with_unknown_keys(unknown_keys);
        case.expected_statuses = &[200, 401];
        cases.push(case);
    }
    rounds::measure(&mut cases, params.plan)?;
    Ok(Findings::of_cases("Unknown keys", rounds::table(&cases), &cases))
}

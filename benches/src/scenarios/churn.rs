//! 500 key changes per second, during requests with the same keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::ScenarioParams;
use crate::findings::Findings;
use crate::gateway_fixture::GatewayFixture;
use crate::generator::{Keys, Requests, StopAfter};
use crate::machine::Core;
use crate::rounds::{self, Case};
use crate::store_fixture::{CreatedKey, StoreFixture};

const KEYS: usize = 10_000;
/// Changes per second.
const CHANGES: u64 = 500;
/// Number of concurrent changes.
const BATCH_SIZE: u64 = 10;

pub(super) async fn run(params: ScenarioParams) -> anyhow::Result<Findings> {
    let fixture = Arc::new(GatewayFixture::start(0).await?);
    let created = fixture.store_fixture.create_keys_with_records(KEYS).await?;
    let keys = Arc::new(created.iter().map(|key| key.value.clone()).collect::<Vec<_>>());
    let (is_enabled, change_count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let gateway = fixture.gateway("gateway", Core::Proxy, &[])?;
    let mut cases: Vec<Case> = ["no changes", "500 changes a second"]
        .map(|name| Case::new(name, &gateway, Requests::get("/some/resource", Keys::RoundRobin(Arc::clone(&keys)))))
        .into();
    cases[0].send_requests(StopAfter::Responses(KEYS as u64))?;
    cases[1].background_changes = Some(Arc::clone(&is_enabled));
    let churning = {
        let (fixture, is_enabled, change_count) =
            (Arc::clone(&fixture), Arc::clone(&is_enabled), Arc::clone(&change_count));
        tokio::spawn(async move { churn(&fixture.store_fixture, &created, &is_enabled, &change_count).await })
    };
    let plan = params.plan;
    let mut cases = tokio::task::spawn_blocking(move || rounds::measure(&mut cases, plan).map(|()| cases)).await??;
    churning.abort();
    let total_changes = change_count.load(Ordering::SeqCst);
    cases[1].name = format!("{} ({total_changes} made in all)", cases[1].name);
    let mut findings = Findings::of_cases("Changes of keys", rounds::table(&cases), &cases);
    findings.json["changes"] = json!(total_changes);
    Ok(findings)
}

/// Changes keys at a constant rate while enabled.
pub(crate) async fn churn(
    store_fixture: &StoreFixture,
    keys: &[CreatedKey],
    is_enabled: &AtomicBool,
    change_count: &AtomicU64,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(1000 * BATCH_SIZE / CHANGES));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut number: usize = 0;
    loop {
        ticks.tick().await;
        if !is_enabled.load(Ordering::SeqCst) {
            continue;
        }
        let renames = (0..BATCH_SIZE as usize).map(|step| {
            let number = number + step;
            store_fixture.rename(&keys[number % keys.len()].record, format!("renamed {number}"))
        });
        futures::future::try_join_all(renames).await?;
        number += BATCH_SIZE as usize;
        change_count.fetch_add(BATCH_SIZE, Ordering::SeqCst);
    }
}

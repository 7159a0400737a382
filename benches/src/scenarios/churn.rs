//! 500 changes of keys a second, while the same keys are asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{Extent, Findings};
use crate::generator::{Keys, Requests, Until};
use crate::machine::Core;
use crate::rounds::{self, Case};
use crate::site::{MadeKey, Site};
use crate::stage::Stage;

const KEYS: usize = 10_000;
/// Changes a second.
const CHANGES: u64 = 500;
/// They are made so many at a time.
const AT_ONCE: u64 = 10;

pub(super) async fn run(extent: Extent) -> anyhow::Result<Findings> {
    let stage = Arc::new(Stage::start(0).await?);
    let made = stage.site.made_keys(KEYS).await?;
    let keys = Arc::new(made.iter().map(|made| made.value.clone()).collect::<Vec<_>>());
    let (on, changed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let gateway = stage.gateway("gateway", Core::Proxy, &[])?;
    let mut cases: Vec<Case> = ["no changes", "500 changes a second"]
        .map(|name| Case::new(name, &gateway, Requests::get("/some/resource", Keys::InTurn(Arc::clone(&keys)))))
        .into();
    cases[0].ask(Until::Answers(KEYS as u64))?;
    cases[1].beside = Some(Arc::clone(&on));
    let churning = {
        let (stage, on, changed) = (Arc::clone(&stage), Arc::clone(&on), Arc::clone(&changed));
        tokio::spawn(async move { churn(&stage.site, &made, &on, &changed).await })
    };
    let plan = extent.plan;
    let mut cases = tokio::task::spawn_blocking(move || rounds::measure(&mut cases, plan).map(|()| cases)).await??;
    churning.abort();
    let made = changed.load(Ordering::SeqCst);
    cases[1].name = format!("{} ({made} made in all)", cases[1].name);
    let mut findings = Findings::of_cases("Changes of keys", rounds::table(&cases), &cases);
    findings.json["changes"] = json!(made);
    Ok(findings)
}

/// Changes keys at a constant rate while it is switched on.
pub(crate) async fn churn(site: &Site, keys: &[MadeKey], on: &AtomicBool, changed: &AtomicU64) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(1000 * AT_ONCE / CHANGES));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut number: usize = 0;
    loop {
        ticks.tick().await;
        if !on.load(Ordering::SeqCst) {
            continue;
        }
        let renaming = (0..AT_ONCE as usize).map(|step| {
            let number = number + step;
            site.rename(&keys[number % keys.len()].record, format!("renamed {number}"))
        });
        futures::future::try_join_all(renaming).await?;
        number += AT_ONCE as usize;
        changed.fetch_add(AT_ONCE, Ordering::SeqCst);
    }
}

//! Revocations whose answer waits until every gateway refuses the key.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost_test_support::Origin;
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admin::{Admin, client};
use crate::process::{Gatepost, UNCONFIGURED};
use crate::site::{DEADLINE, Site, ask};

/// How many keys are shut off under load.
const REVOCATIONS: usize = if cfg!(feature = "long") { 300 } else { 20 };

/// Shuts a key off, and answers how many of how many gateways refuse it.
pub(crate) async fn shut_off(admin: &Admin, key: &str, wait_s: u32) -> String {
    try_shut_off(admin, key, wait_s).await.unwrap()
}

/// The same where the store may be away: `None` for 503.
pub(crate) async fn try_shut_off(admin: &Admin, key: &str, wait_s: u32) -> Option<String> {
    let url = format!("http://{}/api-keys/{key}", admin.address);
    let request = client().request(Method::DELETE, url).header("x-api-key", &admin.access_key);
    let answer = request.header("prefer", format!("wait={wait_s}")).send().await.unwrap();
    if answer.status() == 503 {
        return None;
    }
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["preference-applied"], format!("wait={wait_s}"));
    Some(answer.headers()["gatepost-propagated"].to_str().unwrap().to_owned())
}

/// Whether an answer says that all gateways were reached.
#[cfg(feature = "long")]
pub(crate) fn reached_all(headers: &reqwest::header::HeaderMap) -> bool {
    let reached = headers.get("gatepost-propagated").and_then(|reached| reached.to_str().ok());
    reached.and_then(|reached| reached.split_once('/')).is_some_and(|(applied, known)| applied == known)
}

/// Uses a key without end, and answers when the last request began that was accepted.
async fn use_until(url: String, key: String, is_over: Arc<AtomicBool>) -> Option<Instant> {
    let client = client();
    let mut last_accepted = None;
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = client.get(&url).header("x-api-key", &key).send().await.unwrap();
        match answer.status().as_u16() {
            200 => last_accepted = Some(began),
            status => assert_eq!(status, 401),
        }
    }
    last_accepted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_gateway_accepts_a_key_once_its_fenced_revocation_was_answered() {
    let site = Site::start(3).await;
    let project = site.admin.project().await;
    let mut waits_ms = Vec::new();
    for _ in 0..REVOCATIONS {
        let (key, _) = site.admin.api_key(&project).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let mut users = JoinSet::new();
        for gateway in &site.gateways {
            assert_eq!(ask(&gateway.url("/x"), &key).await, 200);
            users.spawn(use_until(gateway.url("/x"), key.clone(), Arc::clone(&is_over)));
        }
        let asked = Instant::now();
        assert_eq!(shut_off(&site.admin, &key, 5).await, "3/3");
        let answered = Instant::now();
        waits_ms.push((answered - asked).as_millis());
        for gateway in &site.gateways {
            assert_eq!(ask(&gateway.url("/x"), &key).await, 401);
        }
        is_over.store(true, Ordering::Relaxed);
        for last_accepted in users.join_all().await.into_iter().flatten() {
            assert!(last_accepted < answered, "accepted {:?} after the answer", last_accepted - answered);
        }
    }
    waits_ms.sort_unstable();
    tell(&format!(
        "{REVOCATIONS} fenced revocations: p50 {} ms, p99 {} ms, longest {} ms",
        waits_ms[REVOCATIONS / 2],
        waits_ms[REVOCATIONS * 99 / 100],
        waits_ms[REVOCATIONS - 1]
    ));
}

#[expect(clippy::print_stderr, reason = "figures for whoever runs the test with --nocapture")]
fn tell(line: &str) {
    eprintln!("{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_gateway_counts_until_it_must_refuse_and_refuses_when_it_wakes() {
    let site = Site::start(1).await;
    let origin = Origin::start();
    let redis = site.redis.url();
    let arguments = ["gateway", "--upstream", &origin.url(), "--store", &redis];
    let stopped =
        Gatepost::start_with(Path::new(UNCONFIGURED), &arguments, &[("GATEPOST_GATEWAY__MAX_STALE_MS", "1000")]).await;
    let project = site.admin.project().await;
    let (key, _) = site.admin.api_key(&project).await;
    assert_eq!(ask(&stopped.url("/x"), &key).await, 200);
    stopped.signal("-STOP");
    assert_eq!(shut_off(&site.admin, &key, 1).await, "1/2");
    assert_eq!(site.ask(0, &key).await, 401);
    // Its promise is 2 s of liveness, 1 s of staleness and 1 s for clocks. To repeat the request is to wait on.
    assert_eq!(shut_off(&site.admin, &key, 30).await, "1/1");
    stopped.signal("-CONT");
    assert_eq!(ask(&stopped.url("/x"), &key).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_are_listed_with_their_lag_until_they_sign_off() {
    let mut site = Site::start(2).await;
    let list = async |admin: &Admin| -> Vec<Value> {
        let answer = admin.send(Method::GET, "/gateways", String::new()).await;
        assert_eq!(answer.status(), 200);
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    };
    let until = async |admin: &Admin, wanted: &dyn Fn(&[Value]) -> bool| {
        let waiting = async {
            while !wanted(&list(admin).await) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "{:?}", list(admin).await);
    };
    until(&site.admin, &|gateways| gateways.len() == 2 && gateways.iter().all(|gateway| gateway["lagMs"] == 0)).await;
    site.gateways[1].signal("-STOP");
    site.admin.project().await;
    until(&site.admin, &|gateways| gateways.iter().any(|gateway| gateway["lagMs"].as_u64() > Some(100))).await;
    site.gateways[1].signal("-CONT");
    assert_eq!(site.gateways[1].terminate(), Some(0));
    until(&site.admin, &|gateways| gateways.len() == 1).await;
}

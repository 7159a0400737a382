//! Revocations whose response waits until every gateway rejects the key.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost_test_support::MockServer;
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admin::{Admin, client};
use crate::process::{EMPTY_DIRECTORY, Gatepost};
use crate::test_cluster::{DEADLINE, TestCluster, get_status};

/// Number of keys that are revoked under load.
const REVOCATIONS: usize = if cfg!(feature = "long") { 300 } else { 20 };

/// Revokes a key, and returns how many of how many gateways have applied it.
pub(crate) async fn revoke(admin: &Admin, key: &str, wait_s: u32) -> String {
    try_revoke(admin, key, wait_s).await.unwrap()
}

/// Revokes a key while the store may be unavailable. Returns `None` for 503.
pub(crate) async fn try_revoke(admin: &Admin, key: &str, wait_s: u32) -> Option<String> {
    let url = format!("http://{}/api-keys/{key}", admin.address);
    let request = client().request(Method::DELETE, url).header("x-api-key", &admin.access_key);
    let response = request.header("prefer", format!("wait={wait_s}")).send().await.unwrap();
    if response.status() == 503 {
        return None;
    }
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["preference-applied"], format!("wait={wait_s}"));
    Some(response.headers()["gatepost-propagated"].to_str().unwrap().to_owned())
}

/// Returns whether a change has reached all gateways.
#[cfg(feature = "long")]
pub(crate) fn reached_all(headers: &reqwest::header::HeaderMap) -> bool {
    let reached = headers.get("gatepost-propagated").and_then(|reached| reached.to_str().ok());
    reached.and_then(|reached| reached.split_once('/')).is_some_and(|(applied, known)| applied == known)
}

/// Uses a key until stopped, and returns the start of the last accepted request.
async fn last_accepted_use(url: String, key: String, is_over: Arc<AtomicBool>) -> Option<Instant> {
    let client = client();
    let mut last_accepted = None;
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let response = client.get(&url).header("x-api-key", &key).send().await.unwrap();
        match response.status().as_u16() {
            200 => last_accepted = Some(began),
            status => assert_eq!(status, 401),
        }
    }
    last_accepted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_gateway_accepts_a_key_after_the_response_to_its_fenced_revocation() {
    let cluster = TestCluster::start(3).await;
    let project = cluster.admin.create_project().await;
    let mut waits_ms = Vec::new();
    for _ in 0..REVOCATIONS {
        let (key, _) = cluster.admin.create_api_key(&project).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let mut users = JoinSet::new();
        for gateway in &cluster.gateways {
            assert_eq!(get_status(&gateway.url("/x"), &key).await, 200);
            users.spawn(last_accepted_use(gateway.url("/x"), key.clone(), Arc::clone(&is_over)));
        }
        let requested_at = Instant::now();
        assert_eq!(revoke(&cluster.admin, &key, 5).await, "3/3");
        let answered_at = Instant::now();
        waits_ms.push((answered_at - requested_at).as_millis());
        for gateway in &cluster.gateways {
            assert_eq!(get_status(&gateway.url("/x"), &key).await, 401);
        }
        is_over.store(true, Ordering::Relaxed);
        for last_accepted in users.join_all().await.into_iter().flatten() {
            assert!(last_accepted < answered_at, "accepted {:?} after the response", last_accepted - answered_at);
        }
    }
    waits_ms.sort_unstable();
    report(&format!(
        "{REVOCATIONS} fenced revocations: p50 {} ms, p99 {} ms, longest {} ms",
        waits_ms[REVOCATIONS / 2],
        waits_ms[REVOCATIONS * 99 / 100],
        waits_ms[REVOCATIONS - 1]
    ));
}

#[expect(clippy::print_stderr, reason = "measurements, shown with --nocapture")]
fn report(line: &str) {
    eprintln!("{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_wait_for_the_lease_of_a_stopped_gateway_which_rejects_the_key_when_it_resumes() {
    let cluster = TestCluster::start(1).await;
    let origin = MockServer::start();
    let redis = cluster.redis.url();
    let arguments = ["gateway", "--upstream", &origin.url(), "--store", &redis];
    let stopped =
        Gatepost::start_with(Path::new(EMPTY_DIRECTORY), &arguments, &[("GATEPOST_GATEWAY__MAX_STALE_MS", "1000")])
            .await;
    let project = cluster.admin.create_project().await;
    let (key, _) = cluster.admin.create_api_key(&project).await;
    assert_eq!(get_status(&stopped.url("/x"), &key).await, 200);
    stopped.signal("-STOP");
    assert_eq!(revoke(&cluster.admin, &key, 1).await, "1/2");
    assert_eq!(cluster.get_status(0, &key).await, 401);
    // Its lease is 2 s of liveness, 1 s of staleness and 1 s for clock skew. Repeating the request continues to wait.
    assert_eq!(revoke(&cluster.admin, &key, 30).await, "1/1");
    stopped.signal("-CONT");
    assert_eq!(get_status(&stopped.url("/x"), &key).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_are_listed_with_their_lag_until_they_deregister() {
    let mut cluster = TestCluster::start(2).await;
    let list = async |admin: &Admin| -> Vec<Value> {
        let response = admin.send(Method::GET, "/gateways", String::new()).await;
        assert_eq!(response.status(), 200);
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    };
    let await_list = async |admin: &Admin, predicate: &dyn Fn(&[Value]) -> bool| {
        let waiting = async {
            while !predicate(&list(admin).await) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "{:?}", list(admin).await);
    };
    await_list(&cluster.admin, &|gateways| gateways.len() == 2 && gateways.iter().all(|gateway| gateway["lagMs"] == 0))
        .await;
    cluster.gateways[1].signal("-STOP");
    cluster.admin.create_project().await;
    await_list(&cluster.admin, &|gateways| gateways.iter().any(|gateway| gateway["lagMs"].as_u64() > Some(100))).await;
    cluster.gateways[1].signal("-CONT");
    assert_eq!(cluster.gateways[1].terminate(), Some(0));
    await_list(&cluster.admin, &|gateways| gateways.len() == 1).await;
}

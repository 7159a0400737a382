//! Failovers of Redis with replicas: acknowledged changes survive, and no valid key is rejected.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost_test_support::{Fault, FaultProxy, MasterPorts, MockServer, RedisCluster, SentinelSet};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::admin::{Admin, client};
use crate::fence::try_revoke;
use crate::process::{EMPTY_DIRECTORY, Gatepost};
use crate::test_cluster::{DEADLINE, TestCluster, get_status};
use crate::webhooks::{self, Expected};

/// How long keys are created, used and revoked before the fault and after it.
const STEADY_PERIOD: Duration = Duration::from_secs(if cfg!(feature = "long") { 10 } else { 2 });
/// How long changes are acknowledged that the new master lacks.
const LOSS_PERIOD: Duration = Duration::from_secs(2);
/// Maximum time until everything is delivered, including leases that were lost with a master.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(60);

/// Results that clients have observed, including violations.
#[derive(Default)]
struct Observations {
    /// Keys whose creation was confirmed, by id.
    created: HashMap<String, String>,
    /// Ids of keys that were used successfully.
    used: HashSet<String>,
    /// Ids of keys whose revocation was requested.
    revocation_requested: HashSet<String>,
    /// Ids of keys whose revocation was confirmed.
    revoked: HashSet<String>,
    violations: Vec<String>,
    /// Number of responses 503 to valid keys.
    unavailable: u32,
    /// Longest time between two confirmed writes.
    longest_write_gap: Duration,
}

/// Creates, uses and revokes keys during a fault, and checks afterwards that every confirmed write still holds. Returns
/// the number of changes that were lost and replayed.
async fn check_survives<R>(cluster: TestCluster<R>, name: &str, fault: impl AsyncFnOnce(&R)) -> f64 {
    let receiver = MockServer::start();
    let secret = cluster.admin.create_webhook(&receiver.url()).await;
    let project = cluster.admin.create_project().await;
    let urls: Vec<String> = cluster.gateways.iter().map(|gateway| gateway.url("/x")).collect();
    let (steady, _) = cluster.admin.create_api_key(&project).await;
    let (observed, is_over) = (Arc::new(Mutex::new(Observations::default())), Arc::new(AtomicBool::new(false)));
    // They run as tasks, so that a long fault does not stop the requests.
    let (admin, all, seen, over) = (cluster.admin.clone(), urls.clone(), Arc::clone(&observed), Arc::clone(&is_over));
    let churn = tokio::spawn(async move { churn_keys(&admin, &all, &project, &seen, &over).await });
    let (seen, over) = (Arc::clone(&observed), Arc::clone(&is_over));
    let using = tokio::spawn(async move { use_steadily(&urls, &steady, &seen, &over).await });
    tokio::time::sleep(STEADY_PERIOD).await;
    fault(&cluster.redis).await;
    tokio::time::sleep(STEADY_PERIOD).await;
    is_over.store(true, Ordering::Relaxed);
    churn.await.unwrap();
    using.await.unwrap();
    let observed = std::mem::take(&mut *observed.lock().unwrap());
    assert_eq!(observed.violations, Vec::<String>::new());
    check_statuses(&cluster, &observed).await;
    let expected = Expected {
        created: observed.created.keys().cloned().collect(),
        // A first use that could not be recorded before the key was revoked creates no event.
        used: observed.used.difference(&observed.revoked).cloned().collect(),
        deleted: observed.revoked.clone(),
    };
    webhooks::verify(&secret, &webhooks::await_all(&receiver, &expected, DELIVERY_DEADLINE).await);
    let mut replayed = cluster.control_plane.metric("gatepost_changes_repeated_total").await;
    for gateway in &cluster.gateways {
        replayed += gateway.metric("gatepost_changes_repeated_total").await;
    }
    report(&format!(
        "{name}: {} keys created, {} used, {} revoked; {} responses 503 to valid keys; {replayed} changes replayed; no \
         confirmed write for {:.1} s",
        observed.created.len(),
        observed.used.len(),
        observed.revoked.len(),
        observed.unavailable,
        observed.longest_write_gap.as_secs_f64()
    ));
    replayed
}

/// Creates keys in a loop, uses each over all gateways, and revokes every second one.
async fn churn_keys(
    admin: &Admin,
    urls: &[String],
    project: &str,
    observed: &Mutex<Observations>,
    is_over: &AtomicBool,
) {
    let mut confirmed_at = Instant::now();
    let mut written = |observed: &Mutex<Observations>| {
        let mut observed = observed.lock().unwrap();
        observed.longest_write_gap = observed.longest_write_gap.max(confirmed_at.elapsed());
        confirmed_at = Instant::now();
    };
    while !is_over.load(Ordering::Relaxed) {
        let input = json!({"name": "k", "projectId": project}).to_string();
        let Ok(response) = admin.try_send(Method::POST, "/api-keys", input).await else { continue };
        if response.status() != StatusCode::CREATED {
            assert_eq!(response.status(), 503, "{}", response.text().await.unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        written(observed);
        let key: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let (id, value) = (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned());
        let is_second = observed.lock().unwrap().created.len() % 2 == 1;
        observed.lock().unwrap().created.insert(id.clone(), value.clone());
        for url in urls {
            if use_valid(url, &value, observed).await == 200 {
                observed.lock().unwrap().used.insert(id.clone());
            }
        }
        if is_second {
            observed.lock().unwrap().revocation_requested.insert(id.clone());
        }
        if is_second && revoke_everywhere(admin, &value, is_over).await {
            written(observed);
            for url in urls {
                if client().get(url).header("x-api-key", &value).send().await.unwrap().status() == 200 {
                    observed.lock().unwrap().violations.push(format!("{id} was accepted after its fenced revocation"));
                }
            }
            observed.lock().unwrap().revoked.insert(id);
        }
    }
}

/// Revokes a key until all gateways have applied it. Returns `false` if the test ends before.
async fn revoke_everywhere(admin: &Admin, key: &str, is_over: &AtomicBool) -> bool {
    while !is_over.load(Ordering::Relaxed) {
        let reached = try_revoke(admin, key, 1).await;
        if reached
            .as_deref()
            .and_then(|reached| reached.split_once('/'))
            .is_some_and(|(applied, known)| applied == known)
        {
            return true;
        }
    }
    false
}

/// Sends requests with a key that was used before, until the test ends.
async fn use_steadily(urls: &[String], key: &str, observed: &Mutex<Observations>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        for url in urls {
            use_valid(url, key, observed).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn use_valid(url: &str, key: &str, observed: &Mutex<Observations>) -> u16 {
    let status = client().get(url).header("x-api-key", key).send().await.unwrap().status().as_u16();
    let mut observed = observed.lock().unwrap();
    match status {
        200 => {}
        503 => observed.unavailable += 1,
        other => observed.violations.push(format!("a valid key got {other}")),
    }
    status
}

/// Checks that every key has the state of its last confirmed write.
async fn check_statuses<R>(cluster: &TestCluster<R>, observed: &Observations) {
    for (id, value) in &observed.created {
        let is_revoked = observed.revoked.contains(id);
        for gateway in 0..cluster.gateways.len() {
            let status = final_status(cluster, gateway, value).await;
            assert!(!is_revoked || status == 401, "{id} was revoked, but gateway {gateway} returns {status}");
            // A revocation that was not confirmed may or may not have been applied.
            let is_valid = !observed.revocation_requested.contains(id);
            assert!(!is_valid || status == 200, "{id} is valid, but gateway {gateway} returns {status}");
        }
    }
}

/// Returns the first status other than 503, which says nothing about the key.
async fn final_status<R>(cluster: &TestCluster<R>, gateway: usize, value: &str) -> StatusCode {
    let polling = async {
        loop {
            match cluster.get_status(gateway, value).await {
                StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(Duration::from_millis(50)).await,
                status => return status,
            }
        }
    };
    tokio::time::timeout(DEADLINE, polling).await.expect("the gateway returns 503 forever")
}

#[expect(clippy::print_stderr, reason = "measurements, shown with --nocapture")]
fn report(line: &str) {
    eprintln!("{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_whose_master_is_killed() {
    let set = SentinelSet::start();
    let url = set.url();
    check_survives(TestCluster::start_on(set, &[url.as_str(); 3]).await, "Sentinel, master killed", async |set| {
        set.servers[0].signal("-KILL");
        set.await_followed_master_other_than(set.servers[0].port());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_whose_master_pauses_for_six_seconds() {
    let set = SentinelSet::start();
    let url = set.url();
    check_survives(TestCluster::start_on(set, &[url.as_str(); 3]).await, "Sentinel, master paused 6 s", async |set| {
        set.servers[0].signal("-STOP");
        tokio::time::sleep(Duration::from_secs(6)).await;
        set.servers[0].signal("-CONT");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_whose_new_master_lacks_acknowledged_writes() {
    let set = SentinelSet::start();
    // Also if the sentinels fail over once more after the first replica resumes.
    set.never_promote(1);
    let (url, link) = (set.url(), FaultProxy::start(set.servers[0].port()));
    let replayed =
        check_survives(TestCluster::start_on(set, &[url.as_str(); 3]).await, "Sentinel, writes lost", async |set| {
            // Not earlier: after some seconds the sentinels would reconfigure the replica to bypass the proxy.
            set.replicate_through(2, &link);
            // From now on, acknowledged changes only reach the first replica, which cannot become the master.
            link.set_fault(Fault::BlackHole);
            tokio::time::sleep(LOSS_PERIOD).await;
            set.servers[1].signal("-STOP");
            set.servers[0].signal("-KILL");
            assert_eq!(set.await_master_other_than(set.servers[0].port()), 2);
            set.servers[1].signal("-CONT");
            assert_eq!(set.await_followed_master_other_than(set.servers[0].port()), 2);
        })
        .await;
    assert!(replayed >= 1.0, "nothing was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_whose_master_is_partitioned_with_one_gateway_on_its_side() {
    let mut proxies = Vec::new();
    let set = SentinelSet::start_with_ports(|master| {
        proxies = vec![FaultProxy::start(master), FaultProxy::start(master)];
        MasterPorts { replicas: [proxies[0].port(); 2], sentinels: proxies[1].port() }
    });
    let (url, old_master) = (set.url(), format!("redis://127.0.0.1:{}", set.servers[0].port()));
    let known_as = proxies[1].port();
    let arguments = [("GATEPOST_STORE__REPLICAS", "1"), ("GATEPOST_GATEWAY__MAX_STALE_MS", "6000")];
    let mut cluster = TestCluster::start_on(set, &[&url, &url]).await;
    let origin = MockServer::start();
    let gateway = ["gateway", "--upstream", &origin.url(), "--store", &old_master];
    let cut_off = Gatepost::start_with(Path::new(EMPTY_DIRECTORY), &gateway, &arguments).await;
    let project = cluster.admin.create_project().await;
    let (key, _) = cluster.admin.create_api_key(&project).await;
    for url in [cut_off.url("/x"), cluster.gateways[0].url("/x")] {
        assert_eq!(get_status(&url, &key).await, 200);
    }
    for proxy in &proxies {
        proxy.set_fault(Fault::BlackHole);
    }
    cluster.redis.await_master_other_than(known_as);
    assert!(cluster.redis.servers[0].redis_cli(&["ping"]).contains("PONG"), "the old master still responds");
    // On the other side the key is revoked. The response says that one gateway has not applied it.
    let revoking = async { while try_revoke(&cluster.admin, &key, 1).await.as_deref() != Some("1/2") {} };
    assert!(tokio::time::timeout(DEADLINE, revoking).await.is_ok());
    assert_eq!(cluster.get_status(0, &key).await, 401);
    let refusing = async { while try_revoke(&cluster.admin, &key, 30).await.as_deref() != Some("1/1") {} };
    assert!(tokio::time::timeout(DEADLINE, refusing).await.is_ok());
    assert_eq!(get_status(&cut_off.url("/x"), &key).await, 503, "its lease has expired");
    let live = cut_off.metric("gatepost_live").await;
    assert!(live.abs() < f64::EPSILON, "it is live on the old master");
    cluster.gateways.push(cut_off);
    for proxy in &proxies {
        proxy.set_fault(Fault::None);
    }
    cluster.await_status(0, &key, 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_slots_move_and_whose_master_fails_over_and_is_killed() {
    const STORE: &str = "{gp}:meta";
    let cluster = RedisCluster::start();
    let url = cluster.url();
    check_survives(TestCluster::start_on(cluster, &[url.as_str(); 3]).await, "Cluster", async |cluster| {
        cluster.fail_over(cluster.master_of(STORE).unwrap());
        cluster.await_slots();
        cluster.move_slots_of(STORE, 1000);
        cluster.await_slots();
        let master = cluster.master_of(STORE).unwrap();
        cluster.servers[master].signal("-KILL");
        while cluster.master_of(STORE).is_none_or(|now| now == master) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

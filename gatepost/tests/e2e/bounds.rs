//! One account that creates as much as it can, next to another account.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gatepost_test_support::RedisServer;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::admin::{Admin, create_access_key};
use crate::fair_share::report;
use crate::process::{EMPTY_DIRECTORY, Gatepost};

const MIB: u64 = 1 << 20;
/// Memory limit of Redis.
const MEMORY: u64 = 48 * MIB;
/// Memory limit of each account.
const BOUNDS: &[(&str, &str)] = &[("GATEPOST_ACCOUNTS__MAX_BYTES", "8388608")];
/// Metadata per key in bytes, close to the maximum.
const METADATA_BYTES: usize = 16_000;
/// Concurrent requests of the greedy account.
const CONCURRENCY: usize = 16;
/// Minimum duration of the load.
const LOAD_DURATION: Duration = Duration::from_secs(5);

fn used_memory(redis: &RedisServer) -> u64 {
    let memory = redis.redis_cli(&["info", "memory"]);
    memory.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap()
}

/// Creates keys as fast as possible until stopped, and counts them. Returns the last rejection.
async fn create_keys(admin: Admin, project: String, stop: Arc<AtomicBool>, created: Arc<AtomicUsize>) -> Value {
    let body = json!({"name": "k", "projectId": project, "customMetaData": {"text": "x".repeat(METADATA_BYTES)}});
    let mut last = Value::Null;
    while !stop.load(Ordering::SeqCst) {
        let response = admin.send(Method::POST, "/api-keys", body.to_string()).await;
        match response.status().as_u16() {
            201 => drop(created.fetch_add(1, Ordering::SeqCst)),
            409 => last = serde_json::from_str(&response.text().await.unwrap()).unwrap(),
            other => assert_eq!(other, 429, "only the rate limit may reject it"),
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_account_cannot_fill_the_store_of_another() {
    let redis = RedisServer::start();
    redis.redis_cli(&["config", "set", "maxmemory", &MEMORY.to_string()]);
    let url = redis.url();
    let access_key = create_access_key(&url);
    let control_plane =
        Gatepost::start_with(EMPTY_DIRECTORY.as_ref(), &["control-plane", "--store", &url], BOUNDS).await;
    let greedy = Admin::new(control_plane.admin.unwrap(), &access_key);
    let created = greedy.post("/accounts", json!({"name": "other"})).await;
    let other = Admin::new(greedy.address, created["accessKey"]["key"].as_str().unwrap());
    let (project, others_project) = (greedy.create_project().await, other.create_project().await);
    let (first, _) = greedy.create_api_key(&project).await;

    let (stop, count, mut tasks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..CONCURRENCY {
        let admin = Admin::new(greedy.address, &greedy.access_key);
        tasks.spawn(create_keys(admin, project.clone(), Arc::clone(&stop), Arc::clone(&count)));
    }
    tokio::time::sleep(LOAD_DURATION).await;
    other.create_api_key(&others_project).await;
    stop.store(true, Ordering::SeqCst);
    while let Some(refused) = tasks.join_next().await {
        let refused = refused.unwrap();
        assert_eq!(refused["code"], "account-full", "{refused}");
        assert!(refused["detail"].as_str().unwrap().starts_with("accounts.max_bytes: "), "{refused}");
    }
    let (count, used) = (count.load(Ordering::SeqCst), used_memory(&redis));
    report(&format!("{count} keys with {METADATA_BYTES} bytes each were created; Redis holds {} KiB", used / 1024));
    assert!((400..=8 * MIB as usize / METADATA_BYTES).contains(&count), "{count} keys");
    assert!(used < MEMORY / 2, "{used} bytes");
    other.create_api_key(&others_project).await;
    greedy.revoke_key(&first).await;
    assert!(control_plane.metric("gatepost_admin_over_bound_total{bound=\"max_bytes\"}").await > 0.0);
}

//! Full stores: too many undelivered events, or no free memory.

use gatepost_test_support::{MockServer, RedisServer};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;

use crate::admin::{Admin, client, create_access_key};
use crate::process::{EMPTY_DIRECTORY, Gatepost};
use crate::test_cluster::{DEADLINE, TestCluster, get_status};
use crate::webhooks;

/// Smallest allowed value of `events.max_entries`.
const MAX_ENTRIES: usize = 1000;

async fn try_create_key(admin: &Admin, project: &str, metadata: &str) -> (u16, Value) {
    let input = json!({"name": "k", "projectId": project, "customMetaData": {"text": metadata}}).to_string();
    let response = admin.send(Method::POST, "/api-keys", input).await;
    (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

async fn warnings(process: &Gatepost) -> String {
    let report = client().get(format!("http://{}/readyz", process.ops)).send().await.unwrap();
    assert_eq!(report.status(), 200, "the process stays ready");
    let report: Value = serde_json::from_str(&report.text().await.unwrap()).unwrap();
    report["warnings"].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_stream_limit_keys_work_and_only_creates_are_rejected() {
    let redis = RedisServer::start();
    let (url, origin, receiver) = (redis.url(), MockServer::start(), MockServer::start());
    let access_key = create_access_key(&url);
    let limit = [("GATEPOST_EVENTS__MAX_ENTRIES", "1000")];
    let directory = Path::new(EMPTY_DIRECTORY);
    let control_plane =
        Gatepost::start_with(directory, &["control-plane", "--no-deliverer", "--store", &url], &limit).await;
    let gateway = Gatepost::start_on_store(&url, &["gateway", "--upstream", &origin.url()]).await;
    let admin = Admin::new(control_plane.admin.unwrap(), &access_key);
    admin.create_webhook(&receiver.url()).await;
    let project = admin.create_project().await;
    let mut keys = Vec::new();
    let refused = loop {
        let (status, response) = try_create_key(&admin, &project, "").await;
        if status != 201 {
            assert_eq!(status, 503);
            break response;
        }
        keys.push(response["key"].as_str().unwrap().to_owned());
    };
    assert_eq!(refused["code"], "stream-full");
    assert!((MAX_ENTRIES - 10..MAX_ENTRIES).contains(&keys.len()), "{} keys were created", keys.len());
    // First uses and revocations are still accepted.
    for key in &keys[0..20] {
        assert_eq!(get_status(&gateway.url("/x"), key).await, 200);
    }
    admin.revoke_key(&keys[0]).await;
    let refusing = async { while get_status(&gateway.url("/x"), &keys[0]).await != 401 {} };
    assert!(tokio::time::timeout(DEADLINE, refusing).await.is_ok());
    let warned = async { while !warnings(&control_plane).await.contains("events wait for fan-out") {} };
    assert!(tokio::time::timeout(DEADLINE, warned).await.is_ok());
    let counted = async { while control_plane.metric("gatepost_stream_not_fanned_out").await < 1000.0 {} };
    assert!(tokio::time::timeout(DEADLINE, counted).await.is_ok());

    let _deliverer = Gatepost::start_on_store(&url, &["deliverer"]).await;
    let created = async { while try_create_key(&admin, &project, "").await.0 != 201 {} };
    assert!(tokio::time::timeout(DEADLINE, created).await.is_ok(), "creates are still rejected with a deliverer");
    let expected = keys.len() + 20 + 1 + 1;
    assert_eq!(receiver.await_count(expected, DEADLINE), expected, "none of the events is lost");
    assert_eq!(webhooks::bodies_of_topic(&receiver.take_requests(), "api-key.firstUsed").len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_maxmemory_keys_work_and_only_creates_are_rejected() {
    let cluster = TestCluster::start(1).await;
    let project = cluster.admin.create_project().await;
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push(cluster.admin.create_api_key(&project).await.0);
    }
    let used = cluster.redis.redis_cli(&["info", "memory"]);
    let used: u64 = used.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap();
    assert_eq!(cluster.redis.redis_cli(&["config", "set", "maxmemory", &(used + 1_000_000).to_string()]), "OK");
    let text = "x".repeat(15_000);
    let refused = loop {
        let (status, response) = try_create_key(&cluster.admin, &project, &text).await;
        if status != 201 {
            assert_eq!(status, 503);
            break response;
        }
    };
    assert!(refused["detail"].as_str().unwrap().contains("memory or disk is full"), "{refused}");
    for key in &keys {
        assert_eq!(cluster.get_status(0, key).await, 200, "fetched, and used for the first time");
    }
    assert!((cluster.gateways[0].metric("gatepost_first_use_total").await - 5.0).abs() < f64::EPSILON);
    cluster.admin.revoke_key(&keys[0]).await;
    cluster.await_status(0, &keys[0], 401).await;
    let warned = async { while !warnings(&cluster.control_plane).await.contains("maxmemory") {} };
    assert!(tokio::time::timeout(DEADLINE, warned).await.is_ok());
    assert_eq!(cluster.redis.redis_cli(&["config", "set", "maxmemory", "0"]), "OK");
    assert_eq!(try_create_key(&cluster.admin, &project, &text).await.0, 201);
}

//! Projects and accounts that are deleted while their keys are used.

use gatepost_test_support::MockServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::admin::{Admin, client};
use crate::test_cluster::{DEADLINE, TestCluster, get_status};
use crate::webhooks;

/// Number of keys of the deleted project.
const KEY_COUNT: usize = 20;

/// Deletes a resource, and returns how many of how many gateways have applied it.
async fn fenced_delete(admin: &Admin, path: &str) -> String {
    let request = client().request(Method::DELETE, format!("http://{}{path}", admin.address));
    let response = request.header("x-api-key", &admin.access_key).header("prefer", "wait=20").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let reached = response.headers()["gatepost-propagated"].to_str().unwrap().to_owned();
    assert_eq!(response.text().await.unwrap(), "true");
    reached
}

async fn get_statuses(cluster: &TestCluster, keys: &[String]) -> Vec<StatusCode> {
    let mut statuses = Vec::new();
    for gateway in &cluster.gateways {
        for key in keys {
            statuses.push(get_status(&gateway.url("/x"), key).await);
        }
    }
    statuses.dedup();
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_gateway_accepts_a_key_of_a_project_after_the_response_to_its_deletion() {
    let cluster = TestCluster::start(2).await;
    let (project, other) = (cluster.admin.create_project().await, cluster.admin.create_project().await);
    let mut keys = Vec::new();
    for _ in 0..KEY_COUNT {
        keys.push(cluster.admin.create_api_key(&project).await.0);
    }
    let other_keys = [cluster.admin.create_api_key(&other).await.0];
    assert_eq!(get_statuses(&cluster, &keys).await, [200]);
    assert_eq!(get_statuses(&cluster, &other_keys).await, [200]);
    assert_eq!(fenced_delete(&cluster.admin, &format!("/projects/{project}")).await, "2/2");
    assert_eq!(get_statuses(&cluster, &keys).await, [401]);
    assert_eq!(get_statuses(&cluster, &other_keys).await, [200]);
    assert_eq!(fenced_delete(&cluster.admin, &format!("/projects/{project}")).await, "2/2", "deleting again is safe");

    let response = cluster.admin.send(Method::GET, "/accounts", String::new()).await;
    let accounts: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let path = format!("/accounts/{}", accounts[0]["id"].as_str().unwrap());
    assert_eq!(fenced_delete(&cluster.admin, &path).await, "2/2");
    assert_eq!(get_statuses(&cluster, &other_keys).await, [401]);
    assert_eq!(cluster.admin.send(Method::GET, "/accounts", String::new()).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_also_signed_with_the_old_secret_during_the_overlap() {
    let cluster = TestCluster::start(0).await;
    let receiver = MockServer::start();
    let topics = ["api-key.created"];
    let created = cluster.admin.post("/webhooks", json!({"name": "w", "url": receiver.url(), "topics": topics})).await;
    let old = created["secret"].as_str().unwrap();
    let path = format!("/webhooks/{}/rotate-secret", created["id"].as_str().unwrap());
    let response = cluster.admin.send(Method::POST, &path, String::new()).await;
    let rotated: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let new = rotated["secret"].as_str().unwrap();
    assert_ne!(old, new);
    let project = cluster.admin.create_project().await;
    cluster.admin.create_api_key(&project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    let received = receiver.take_requests();
    webhooks::verify(old, &received);
    webhooks::verify(new, &received);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ed25519_signatures_are_valid_for_the_public_key_and_rotate_with_the_secret() {
    let cluster = TestCluster::start(0).await;
    let receiver = MockServer::start();
    let hook = json!({
        "name": "w", "url": receiver.url(), "topics": ["api-key.created"], "signatures": ["v1", "v1a"],
    });
    let created = cluster.admin.post("/webhooks", hook).await;
    let project = cluster.admin.create_project().await;
    let rotate = async |overlap_s: u64| -> Value {
        let path = format!("/webhooks/{}/rotate-secret", created["id"].as_str().unwrap());
        let body = json!({"overlapSeconds": overlap_s}).to_string();
        let response = cluster.admin.send(Method::POST, &path, body).await;
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    };
    let next_request = async |count| {
        cluster.admin.create_api_key(&project).await;
        assert_eq!(receiver.await_count(count, DEADLINE), count);
        receiver.take_requests()
    };
    let first = next_request(1).await;
    let rotated = rotate(3600).await;
    let during_overlap = next_request(2).await;
    let replaced = rotate(0).await;
    let last = next_request(3).await;
    for (webhook, expected) in [(&created, [1, 1, 0]), (&rotated, [0, 1, 0]), (&replaced, [0, 0, 1])] {
        let public_key = webhook["publicKey"].as_str().unwrap();
        let signed = [&first, &during_overlap, &last].map(|requests| webhooks::count_signed_with(public_key, requests));
        assert_eq!(signed, expected, "{public_key}");
    }
    // Libraries that know v1 alone accept requests that have both.
    webhooks::verify(created["secret"].as_str().unwrap(), &[first, during_overlap.clone()].concat());
    webhooks::verify(rotated["secret"].as_str().unwrap(), &during_overlap);
    webhooks::verify(replaced["secret"].as_str().unwrap(), &last);
}

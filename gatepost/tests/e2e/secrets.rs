//! No secret is stored, logged or exported in clear text.

use std::path::Path;

use gatepost_test_support::MockServer;
use serde_json::json;

use crate::admin::{Admin, client};
use crate::test_cluster::{DEADLINE, TestCluster};

/// Custom key value without a recognisable format.
const CHOSEN: &str = "b3-chosen-value-Qx7Lw2Zr9Tn4";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_logs_and_metrics_contain_no_secret() {
    let cluster = TestCluster::start(2).await;
    let receiver = MockServer::start();
    let webhook_secret = cluster.admin.create_webhook(&receiver.url()).await;
    let project = cluster.admin.create_project().await;
    let (used, _) = cluster.admin.create_api_key(&project).await;
    let (revoked, _) = cluster.admin.create_api_key(&project).await;
    for key in [&used, &revoked] {
        assert_eq!(cluster.get_status(0, key).await, 200);
        assert_eq!(cluster.get_status(1, key).await, 200);
        let path = format!("/api-keys/auth/{key}");
        assert_eq!(cluster.admin.send(reqwest::Method::POST, &path, String::new()).await.status(), 200);
    }
    cluster.admin.revoke_key(&revoked).await;
    cluster.admin.post("/api-keys", json!({"name": "k", "projectId": project, "key": CHOSEN})).await;
    for value in [used.as_str(), &revoked, CHOSEN] {
        assert_eq!(count_found(&cluster.admin, value).await, 1);
        assert_eq!(count_found(&cluster.admin, &format!("{value}{value}")).await, 0);
        for described in [value.to_owned(), format!("{value}{value}")] {
            let request = json!({"key": described, "path": format!("/{described}")}).to_string();
            let response = cluster.admin.send(reqwest::Method::POST, "/api-keys/explain", request).await;
            assert_eq!(response.status(), 200);
        }
    }
    assert_eq!(receiver.await_count(6, DEADLINE), 6);
    // A snapshot in addition to the append-only file.
    assert_eq!(cluster.redis.redis_cli(&["save"]), "OK");

    let secrets = [&used, &revoked, CHOSEN, &cluster.admin.access_key, webhook_secret.trim_start_matches("whsec_")];
    let mut sources = files(cluster.redis.directory());
    for process in cluster.gateways.iter().chain([&cluster.control_plane]) {
        sources.push(("a log".to_owned(), process.log().join("\n").into_bytes()));
        sources.push(("metrics".to_owned(), process.metrics().await.into_bytes()));
    }
    check_no_secrets(&sources, &secrets.map(|secret| secret as &str));
}

/// Returns the number of keys that a search finds. The stored response of the idempotency key must not contain the
/// query either.
async fn count_found(admin: &Admin, query: &str) -> usize {
    let url = format!("http://{}/api-keys/search", admin.address);
    let request = client().post(url).header("x-api-key", &admin.access_key).header("idempotency-key", "search");
    let response = request.body(json!({"query": query}).to_string()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let found: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    found["apiKeys"].as_array().unwrap().len()
}

/// Checks that no source, each a name and its contents, contains a secret.
pub(crate) fn check_no_secrets(sources: &[(String, Vec<u8>)], secrets: &[&str]) {
    assert!(sources.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 10_000, "the sources are empty");
    for (source, bytes) in sources {
        let text = String::from_utf8_lossy(bytes);
        for secret in secrets {
            // The second half of a secret is not part of its mask. A shorter piece could match by chance.
            assert!(!text.contains(&secret[secret.len() / 2..]), "{source} contains a secret");
        }
    }
}

/// Returns all files below a directory with their contents.
pub(crate) fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    files
}

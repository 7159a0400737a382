//! The official clients of the hosted product, unmodified from npm, with the admin API on both stores.

use std::path::Path;
use std::process::Command;

use gatepost_test_support::MockServer;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::process::Gatepost;
use crate::single_process::read_first_access_key;
use crate::test_cluster::TestCluster;

/// Versions on npm: the one tagged as latest, and the one that can rotate keys.
const CLIENTS: [&str; 2] = ["theauthapi-1.0.11", "theauthapi-1.0.1-2.1"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_of_the_official_clients_works_on_the_embedded_store() {
    let directory = tempfile::tempdir().unwrap();
    let origin = MockServer::start();
    let up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    check_all(&admin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_of_the_official_clients_works_on_redis() {
    let cluster = TestCluster::start(0).await;
    check_all(&cluster.admin).await;
}

/// Calls all methods of each client with a key of the user role, which is the default of new access keys.
async fn check_all(admin: &Admin) {
    let access_key = admin.post("/access-keys", json!({"name": "client"})).await;
    for client in CLIENTS {
        check(client, admin, &access_key);
    }
}

fn check(client: &str, admin: &Admin, access_key: &Value) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm");
    assert!(directory.join("node_modules").exists(), "npm packages are missing; run: cargo xtask test --only packages");
    let output = Command::new("node")
        .args(["client.mjs", client])
        .current_dir(directory)
        .env("HOST", format!("http://{}", admin.address))
        .env("NO_PROXY", "127.0.0.1")
        .env("ACCESS_KEY", access_key["key"].as_str().unwrap())
        .env("ACCOUNT_ID", access_key["accountId"].as_str().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{client}: {}", String::from_utf8_lossy(&output.stderr));
}

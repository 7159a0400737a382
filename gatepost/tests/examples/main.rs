//! Tests of the receivers in docs/examples: each is run as its README says, and gets real deliveries.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

#[path = "../e2e/admin.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests")]
mod admin;
mod delivery;
#[path = "../e2e/process.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests")]
mod process;
mod receiver;
mod relay;

use std::path::Path;

use gatepost_test_support::{MockServer, free_port};
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::delivery::{Delivery, changed_deliveries};
use crate::process::Gatepost;
use crate::receiver::{Receiver, commands};
use crate::relay::Relay;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_receives_webhooks() {
    check("Node").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_receives_webhooks() {
    check("Python").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn go_receives_webhooks() {
    check("Go").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ruby_receives_webhooks() {
    check("Ruby").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn php_receives_webhooks() {
    check("PHP").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_receives_webhooks() {
    check("Java").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rust_receives_webhooks() {
    check("Rust").await;
}

#[test]
fn every_receiver_is_tested() {
    let languages: Vec<String> = commands().into_iter().map(|(language, _)| language).collect();
    assert_eq!(languages, ["Node", "Python", "Go", "Ruby", "PHP", "Java", "Rust"]);
    for entry in std::fs::read_dir(receiver::DIRECTORY).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_run = commands().iter().any(|(_, command)| command.contains(&name));
        assert!(is_run || name == "README.md", "README has no command for {name}");
    }
}

/// Delivers events to the receiver in a language before and during the rotation of its secret, and sends it variants
/// of what it received.
async fn check(language: &str) {
    let port = free_port();
    let mut relay = Relay::start(port).await;
    let directory = tempfile::tempdir().unwrap();
    let (_gatepost, admin) = start_gatepost(directory.path()).await;
    let topics = ["api-key.created"];
    let webhook = admin.post("/webhooks", json!({"name": "w", "url": relay.url(), "topics": topics})).await;
    let secret = webhook["secret"].as_str().unwrap();
    let receiver = Receiver::start(language, port, secret).await.unwrap();
    let project = admin.create_project().await;

    admin.create_api_key(&project).await;
    let (delivery, status) = relay.next_delivery().await;
    assert_eq!(status, 204, "{}", receiver.log());
    assert_eq!(delivery.signatures().len(), 1);
    for (change, changed, expected) in changed_deliveries(&delivery, secret) {
        assert_eq!(receiver.status_of(&changed).await, expected, "{change}: {}", receiver.log());
    }

    let path = format!("/webhooks/{}/rotate-secret", webhook["id"].as_str().unwrap());
    let rotated = admin.send(Method::POST, &path, String::new()).await.text().await.unwrap();
    let rotated: Value = serde_json::from_str(&rotated).unwrap();
    admin.create_api_key(&project).await;
    let (delivery, status) = relay.next_delivery().await;
    assert_eq!(status, 204, "signed with both secrets: {}", receiver.log());
    check_rotation(&receiver, &delivery).await;
    let with_new_secret = Receiver::start(language, free_port(), rotated["secret"].as_str().unwrap()).await.unwrap();
    check_rotation(&with_new_secret, &delivery).await;
    check_empty_secret(language, &delivery).await;
}

async fn start_gatepost(directory: &Path) -> (Gatepost, Admin) {
    let arguments = ["up", "--upstream", &MockServer::start().url()];
    let gatepost = Gatepost::start(directory, &arguments).await;
    let access_key = std::fs::read_to_string(directory.join("gatepost-data/first-access-key")).unwrap();
    let admin = Admin::new(gatepost.admin.unwrap(), access_key.trim());
    (gatepost, admin)
}

/// Checks that a receiver with one of two secrets accepts a delivery that is signed with both, in any order.
async fn check_rotation(receiver: &Receiver, delivery: &Delivery) {
    let signatures = delivery.signatures();
    let [first, second] = signatures[..] else { panic!("not two signatures: {signatures:?}") };
    let mut statuses = Vec::new();
    for signature in [first, second] {
        statuses.push(receiver.status_of(&delivery.with_signature(signature)).await);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 401], "one of the signatures is of the receiver's secret: {}", receiver.log());
    for both in [format!("{first} {second}"), format!("{second} {first}")] {
        assert_eq!(receiver.status_of(&delivery.with_signature(&both)).await, 204, "{both}: {}", receiver.log());
    }
}

/// Checks that nobody can sign for a receiver that was started without a secret.
async fn check_empty_secret(language: &str, delivery: &Delivery) {
    for secret in ["", "whsec_"] {
        // Receivers that can, exit.
        let Ok(receiver) = Receiver::start(language, free_port(), secret).await else { continue };
        let status = receiver.status_of(&delivery.signed_with(b"")).await;
        assert!(status >= 400, "{status} with the secret {secret:?}: {}", receiver.log());
    }
}

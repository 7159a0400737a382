//! Projects and accounts that are shut off while their keys are used.

use gatepost_test_support::Origin;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::admin::{Admin, client};
use crate::site::{DEADLINE, Site, ask};
use crate::webhooks;

/// Keys of a project that is shut off.
const KEYS: usize = 20;

/// Shuts something off, and answers how many of how many gateways refuse its keys.
async fn fenced_delete(admin: &Admin, path: &str) -> String {
    let request = client().request(Method::DELETE, format!("http://{}{path}", admin.address));
    let answer = request.header("x-api-key", &admin.access_key).header("prefer", "wait=20").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let reached = answer.headers()["gatepost-propagated"].to_str().unwrap().to_owned();
    assert_eq!(answer.text().await.unwrap(), "true");
    reached
}

async fn ask_all(site: &Site, keys: &[String]) -> Vec<StatusCode> {
    let mut statuses = Vec::new();
    for gateway in &site.gateways {
        for key in keys {
            statuses.push(ask(&gateway.url("/x"), key).await);
        }
    }
    statuses.dedup();
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_gateway_accepts_a_key_of_a_project_once_its_deletion_was_answered() {
    let site = Site::start(2).await;
    let (project, other) = (site.admin.project().await, site.admin.project().await);
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        keys.push(site.admin.api_key(&project).await.0);
    }
    let spared = [site.admin.api_key(&other).await.0];
    assert_eq!(ask_all(&site, &keys).await, [200]);
    assert_eq!(ask_all(&site, &spared).await, [200]);
    assert_eq!(fenced_delete(&site.admin, &format!("/projects/{project}")).await, "2/2");
    assert_eq!(ask_all(&site, &keys).await, [401]);
    assert_eq!(ask_all(&site, &spared).await, [200]);
    assert_eq!(fenced_delete(&site.admin, &format!("/projects/{project}")).await, "2/2", "to repeat it is safe");

    let answer = site.admin.send(Method::GET, "/accounts", String::new()).await;
    let accounts: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let path = format!("/accounts/{}", accounts[0]["id"].as_str().unwrap());
    assert_eq!(fenced_delete(&site.admin, &path).await, "2/2");
    assert_eq!(ask_all(&site, &spared).await, [401]);
    assert_eq!(site.admin.send(Method::GET, "/accounts", String::new()).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_signed_with_the_old_secret_too_until_its_overlap_is_over() {
    let site = Site::start(0).await;
    let receiver = Origin::start();
    let topics = ["api-key.created"];
    let made = site.admin.post("/webhooks", json!({"name": "w", "url": receiver.url(), "topics": topics})).await;
    let old = made["secret"].as_str().unwrap();
    let path = format!("/webhooks/{}/rotate-secret", made["id"].as_str().unwrap());
    let answer = site.admin.send(Method::POST, &path, String::new()).await;
    let rotated: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let new = rotated["secret"].as_str().unwrap();
    assert_ne!(old, new);
    let project = site.admin.project().await;
    site.admin.api_key(&project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    let received = receiver.take();
    webhooks::verify(old, &received);
    webhooks::verify(new, &received);
}

//! Stores of earlier releases: this version opens, uses and changes them, before and after `gatepost store upgrade`.

#[cfg(feature = "golden")]
mod make;

use std::path::{Path, PathBuf};
use std::time::Duration;

use gatepost_test_support::{MockServer, RecordedRequest, RedisServer};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::admin::Admin;
use crate::process::{Gatepost, command};
use crate::test_cluster::{DEADLINE, get_status};
use crate::webhooks;

/// Description of the contents of a golden store.
const MANIFEST: &str = "manifest.json";

/// Golden store in use.
struct GoldenStore {
    directory: TempDir,
    redis: Option<RedisServer>,
    manifest: Value,
    upstream: MockServer,
}

/// Returns the directory of a golden store.
fn directory(release: &str, backend: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(release).join(backend)
}

fn manifest(directory: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(directory.join(MANIFEST)).unwrap()).unwrap()
}

impl GoldenStore {
    fn embedded(release: &str) -> Self {
        let (from, directory) = (directory(release, "embedded"), tempfile::tempdir().unwrap());
        let data = directory.path().join("gatepost-data");
        std::fs::create_dir(&data).unwrap();
        std::fs::copy(from.join("gatepost.redb"), data.join("gatepost.redb")).unwrap();
        Self { directory, redis: None, manifest: manifest(&from), upstream: MockServer::start() }
    }

    fn on_redis(release: &str) -> Self {
        let (from, directory) = (directory(release, "redis"), tempfile::tempdir().unwrap());
        let redis = RedisServer::start_from(&from.join("dump.rdb"));
        Self { directory, redis: Some(redis), manifest: manifest(&from), upstream: MockServer::start() }
    }

    fn store_url(&self) -> String {
        self.redis.as_ref().map_or("embedded:./gatepost-data".to_owned(), RedisServer::url)
    }

    /// Copies the store to the other backend, and returns the copy.
    fn moved(self) -> Self {
        let from = self.store_url();
        // The old server runs until the copy is written.
        let (_old, redis) = match self.redis {
            Some(old) => (Some(old), None),
            None => (None, Some(RedisServer::start())),
        };
        let copy = Self { redis, ..self };
        let arguments = ["store", "copy", "--from", &from, "--to", &copy.store_url()];
        let output = command(copy.directory.path(), &arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        copy
    }

    async fn start(&self) -> (Gatepost, Admin) {
        let arguments = ["up", "--upstream", &self.upstream.url(), "--store", &self.store_url()];
        let up = Gatepost::start(self.directory.path(), &arguments).await;
        let admin = Admin::new(up.admin.unwrap(), self.text("accessKey"));
        (up, admin)
    }

    fn text(&self, member: &str) -> &str {
        self.manifest[member].as_str().unwrap()
    }

    /// Returns all keys, each with the expected status of a request with it.
    fn keys(&self) -> Vec<(String, u16)> {
        let keys = self.manifest["keys"].as_object().unwrap().values();
        keys.map(|key| {
            (key["key"].as_str().unwrap().to_owned(), u16::try_from(key["status"].as_u64().unwrap()).unwrap())
        })
        .collect()
    }
}

async fn get(admin: &Admin, path: &str) -> Value {
    let response = admin.send(Method::GET, path, String::new()).await;
    assert_eq!(response.status(), 200, "{path}");
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

async fn patch(admin: &Admin, path: &str, body: Value) {
    let response = admin.send(Method::PATCH, path, body.to_string()).await;
    let status = response.status();
    assert_eq!(status, 200, "{path}: {}", response.text().await.unwrap());
}

/// Checks that everything in the store can be read.
async fn check_contents(up: &Gatepost, admin: &Admin, store: &GoldenStore) {
    for (key, status) in store.keys() {
        assert_eq!(get_status(&up.url("/x"), &key).await, status, "{key}");
    }
    for key in store.manifest["keys"].as_object().unwrap().values() {
        let read = get(admin, &format!("/api-keys/{}", key["id"].as_str().unwrap())).await;
        assert_eq!(read["id"], key["id"]);
        for member in ["customMetaData", "rateLimitConfigs", "quota", "allowedIps", "permissions"] {
            assert_eq!(read[member], key["record"][member], "{member} of {read}");
        }
    }
    let viewer = Admin::new(up.admin.unwrap(), store.text("viewerKey"));
    let hook = format!("/webhooks/{}", store.manifest["webhook"]["id"].as_str().unwrap());
    assert_eq!(get(admin, &hook).await["customHeaders"], json!({"X-Golden": "header-secret"}));
    assert_eq!(get(&viewer, &hook).await["customHeaders"], json!({"X-Golden": "…"}));
    let projects = get(admin, "/projects").await;
    assert_eq!(projects.as_array().unwrap().len(), 2, "{projects}");
    assert_eq!(get(admin, "/access-keys").await.as_array().unwrap().len(), 2);
}

/// Checks that changes are sent to the webhook, with its stored headers.
async fn check_changes(up: &Gatepost, admin: &Admin, store: &GoldenStore) {
    let receiver = MockServer::start();
    let hook = format!("/webhooks/{}", store.manifest["webhook"]["id"].as_str().unwrap());
    patch(admin, &hook, json!({"url": format!("{}/path-secret", receiver.url())})).await;
    let project = store.text("project");
    let (key, id) = admin.create_api_key(project).await;
    assert_eq!(get_status(&up.url("/x"), &key).await, 200);
    patch(admin, &format!("/api-keys/{id}"), json!({"name": "renamed"})).await;
    admin.revoke_key(&key).await;
    let revoked = async {
        while get_status(&up.url("/x"), &key).await != 401 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, revoked).await.is_ok());

    let topics = ["api-key.created", "api-key.firstUsed", "api-key.updated", "api-key.deleted"];
    let received = await_events(&receiver, topics.map(|topic| (topic, id.as_str()))).await;
    webhooks::verify(store.manifest["webhook"]["secret"].as_str().unwrap(), &received);
    for request in &received {
        assert!(request.request_line().contains("/path-secret"), "{}", request.request_line());
        assert_eq!(request.header("x-golden"), ["header-secret"]);
    }
}

/// Waits until a receiver has all events, each a topic and the id of its key, and returns all received requests.
async fn await_events(receiver: &MockServer, events: [(&str, &str); 4]) -> Vec<RecordedRequest> {
    let mut missing = events.to_vec();
    let mut received = Vec::new();
    let receiving = async {
        while !missing.is_empty() {
            received.extend(receiver.take_requests());
            let is_received = |topic: &str, id: &str| {
                webhooks::bodies_of_topic(&received, topic).iter().any(|body| body["data"]["id"] == id)
            };
            missing.retain(|(topic, id)| !is_received(topic, id));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, receiving).await;
    assert!(in_time.is_ok(), "missing: {missing:?}");
    received
}

async fn check_store(store: &GoldenStore) {
    let (mut up, admin) = store.start().await;
    let (_, readiness) = up.readiness().await;
    assert!(readiness.contains("gatepost store upgrade"), "{readiness}");
    check_contents(&up, &admin, store).await;
    check_changes(&up, &admin, store).await;

    let upgrade = || {
        let output =
            command(store.directory.path(), &["store", "upgrade", "--store", &store.store_url()]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (succeeded, printed) = upgrade();
    assert!(succeeded && printed.contains("the store is in format 2: 2 of 2 webhooks were rewritten"), "{printed}");
    assert!(upgrade().1.contains("0 of 2 webhooks were rewritten"));
    check_contents(&up, &admin, store).await;
    check_changes(&up, &admin, store).await;
    assert_eq!(up.terminate(), Some(0));

    let (up, admin) = store.start().await;
    check_contents(&up, &admin, store).await;
    check_changes(&up, &admin, store).await;
    let (_, readiness) = up.readiness().await;
    assert!(!readiness.contains("gatepost store upgrade"), "{readiness}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_store_of_v010_is_opened_used_changed_and_upgraded() {
    check_store(&GoldenStore::embedded("v0.1.0")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_v010_on_redis_is_opened_used_changed_and_upgraded() {
    check_store(&GoldenStore::on_redis("v0.1.0")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_v010_moves_to_the_other_backend() {
    for store in [GoldenStore::embedded("v0.1.0"), GoldenStore::on_redis("v0.1.0")] {
        check_store(&store.moved()).await;
    }
}

//! Creates golden stores with the program of a release: `cargo xtask golden NAME`.

use std::path::Path;

use gatepost_test_support::{MockServer, RedisServer};
use reqwest::Method;
use serde_json::{Value, json};

use super::{MANIFEST, directory, patch};
use crate::admin::Admin;
use crate::process::{EMPTY_DIRECTORY, Gatepost, command_of};
use crate::release::{LAST_RELEASE, program};
use crate::test_cluster::{DEADLINE, get_status};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_stores_are_made() {
    make_embedded().await;
    make_on_redis().await;
}

async fn make_embedded() {
    let (target, working) = (directory(LAST_RELEASE, "embedded"), tempfile::tempdir().unwrap());
    let upstream = MockServer::start();
    let access_key = create_access_key(working.path(), "embedded:./gatepost-data", "admin");
    let viewer = create_access_key(working.path(), "embedded:./gatepost-data", "viewer");
    let arguments = ["up", "--upstream", &upstream.url()];
    let mut up = Gatepost::start_program(&program(LAST_RELEASE), working.path(), &arguments, &[]).await;
    let manifest = fill(&up, &access_key, &viewer).await;
    assert_eq!(up.terminate(), Some(0));
    std::fs::create_dir_all(&target).unwrap();
    std::fs::copy(working.path().join("gatepost-data/gatepost.redb"), target.join("gatepost.redb")).unwrap();
    write(&target, &manifest);
}

async fn make_on_redis() {
    let (target, redis, upstream) = (directory(LAST_RELEASE, "redis"), RedisServer::start(), MockServer::start());
    let access_key = create_access_key(Path::new(EMPTY_DIRECTORY), &redis.url(), "admin");
    let viewer = create_access_key(Path::new(EMPTY_DIRECTORY), &redis.url(), "viewer");
    let arguments = ["up", "--upstream", &upstream.url(), "--store", &redis.url()];
    let mut up = Gatepost::start_program(&program(LAST_RELEASE), Path::new(EMPTY_DIRECTORY), &arguments, &[]).await;
    let manifest = fill(&up, &access_key, &viewer).await;
    assert_eq!(up.terminate(), Some(0));
    std::fs::create_dir_all(&target).unwrap();
    assert_eq!(redis.redis_cli(&["save"]), "OK");
    std::fs::copy(redis.directory().join("dump.rdb"), target.join("dump.rdb")).unwrap();
    write(&target, &manifest);
}

fn create_access_key(directory: &Path, store: &str, role: &str) -> String {
    let arguments = ["access-key", "create", "--store", store, "--role", role, "--output", "json"];
    let output = command_of(&program(LAST_RELEASE), directory, &arguments).output().unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    printed["key"].as_str().unwrap().to_owned()
}

fn write(target: &Path, manifest: &Value) {
    let text = serde_json::to_string_pretty(manifest).unwrap() + "\n";
    std::fs::write(target.join(MANIFEST), text).unwrap();
}

/// Fills a store through the admin API and the gateway, and returns a description of its contents.
async fn fill(up: &Gatepost, access_key: &str, viewer: &str) -> Value {
    let admin = Admin::new(up.admin.unwrap(), access_key);
    let project = admin.create_project().await;
    let test_project = admin.post("/projects", json!({"name": "test", "env": "test"})).await;
    let deleted_project = admin.create_project().await;
    let nobody = "http://127.0.0.1:9/path-secret?token=query-secret";
    let hook = json!({
        "name": "hook", "url": nobody, "customHeaders": {"X-Golden": "header-secret"},
        "topics": ["api-key.created", "api-key.firstUsed", "api-key.updated", "api-key.deleted"],
    });
    let webhook = admin.post("/webhooks", hook).await;
    let paused = json!({
        "name": "paused", "url": nobody, "topics": ["project.updated"], "status": "paused", "theauthapiSignature": true,
        "projectId": project,
    });
    let paused = admin.post("/webhooks", paused).await;
    let path = format!("/webhooks/{}/rotate-secret", paused["id"].as_str().unwrap());
    assert_eq!(admin.send(Method::POST, &path, String::new()).await.status(), 200);

    let mut keys = serde_json::Map::new();
    for (name, members, status) in [
        ("used", json!({"customMetaData": {"plan": "gold"}, "customAccountId": "über"}), 200),
        ("unused", json!({}), 200),
        ("chosen", json!({"key": "my-own-golden-value", "permissions": ["read"]}), 200),
        ("limited", json!({"rateLimitConfigs": {"rateLimit": 1000, "rateLimitTtl": 60}}), 200),
        ("metered", json!({"quota": {"limit": 100_000, "period": "month"}}), 200),
        ("locked", json!({"allowedIps": ["10.0.0.0/8"]}), 403),
        ("expired", json!({"expiry": "2020-01-01"}), 401),
        ("revoked", json!({}), 401),
        ("renamed", json!({}), 200),
        ("rotated", json!({}), 200),
    ] {
        keys.insert(name.to_owned(), create_key(&admin, &project, members, status).await);
    }
    let test_id = test_project["id"].as_str().unwrap();
    keys.insert("of test".to_owned(), create_key(&admin, test_id, json!({}), 403).await);
    keys.insert("of ended project".to_owned(), create_key(&admin, &deleted_project, json!({}), 401).await);
    apply_changes(&admin, &deleted_project, &mut keys).await;
    for key in keys.values() {
        if key["name"] != "unused" {
            get_status(&up.url("/x"), key["key"].as_str().unwrap()).await;
        }
    }
    await_flush(&admin, &project).await;
    json!({
        "accessKey": access_key, "viewerKey": viewer, "project": project,
        "webhook": {"id": webhook["id"], "secret": webhook["secret"]}, "keys": keys,
    })
}

async fn create_key(admin: &Admin, project: &str, members: Value, status: u16) -> Value {
    let mut body = json!({"name": "golden", "projectId": project});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let created = admin.post("/api-keys", body).await;
    json!({"id": created["id"], "key": created["key"], "status": status, "record": created})
}

/// Applies changes, so that the store contains more than creations.
async fn apply_changes(admin: &Admin, deleted_project: &str, keys: &mut serde_json::Map<String, Value>) {
    let path =
        |keys: &serde_json::Map<String, Value>, name: &str| format!("/api-keys/{}", keys[name]["id"].as_str().unwrap());
    admin.revoke_key(keys["revoked"]["key"].as_str().unwrap()).await;
    patch(admin, &path(keys, "renamed"), json!({"key": "a-golden-value-that-replaced-another"})).await;
    keys["renamed"]["key"] = json!("a-golden-value-that-replaced-another");
    let rotated = admin.post(&format!("{}/rotate", path(keys, "rotated")), json!({"overlapSeconds": 7_776_000})).await;
    keys["rotated"]["key"] = rotated["key"].clone();
    let response = admin.send(Method::DELETE, &format!("/projects/{deleted_project}"), String::new()).await;
    assert_eq!(response.status(), 200);
}

/// Waits until the usage counts were flushed to the store.
async fn await_flush(admin: &Admin, project: &str) {
    let path = format!("/analytics/api-key-totals?projectId={project}&dateGrouping=month");
    let flushed = async {
        while super::get(admin, &path).await.as_array().unwrap().len() < 6 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, flushed).await.is_ok());
}
